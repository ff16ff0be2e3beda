"""All formats but JPEG to pixels, through Pillow: PNG, WebP, BMP, GIF and TIFF; of several frames the first."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from preprocess import exif
from preprocess.color_profile import image_to_srgb
from preprocess.errors import UnreadableImage
from preprocess.scaling import Pixels, check_size
from preprocess.stored_image import StoredImage, damaged

WHITE = 255
WHITE_IS_ZERO = 0
PHOTOMETRIC = 262
# Pillow unpacks these two compressions of BMP in Python, so that a few bytes may cost it minutes.
RUN_LENGTHS = (1, 2)
MAX_RUN_LENGTH_PIXELS = 1 << 24
MAX_WEBP_SIDE = 16_383
HALF_TRANSPARENT_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
SIXTEEN_BITS = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})

# Pillow warns about what is then accepted or refused with a reason; a line on stderr for each adds nothing.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_with_pillow(data: bytes, kind: str, *, short_side: int, square: bool, convert_icc: bool) -> StoredImage:
    """Decode ``data`` as ``kind``, a name of Pillow's formats; RGB (H, W, 3).

    Transparency is composited on white, 16-bit samples reduced to their high byte. UnreadableImage where the bytes are
    no whole image, are too large, or hold 32-bit or floating-point samples, whose range nothing tells.
    """
    if kind == "WEBP":
        # Pillow's decoder takes the memory for its frames before it tells their size.
        width, height = webp_size(data)
        if max(width, height) > MAX_WEBP_SIDE:
            raise UnreadableImage(f"{width}x{height} pixels, although a WebP has at most {MAX_WEBP_SIDE} a side")
        check_size(height, width, short_side=short_side, square=square)
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except Exception as error:  # its readers raise whatever a damaged file leads them to
        raise damaged(kind, _without_address(error)) from None
    with image:
        check_size(image.height, image.width, short_side=short_side, square=square)
        if image.info.get("compression") in RUN_LENGTHS and image.width * image.height > MAX_RUN_LENGTH_PIXELS:
            raise UnreadableImage(f"{image.width}x{image.height} pixels are more than a BMP with run lengths may have")
        try:
            image.load()
            profile = image.info.get("icc_profile") if convert_icc else None
            pixels, profile = _to_rgb(image, kind, profile if isinstance(profile, bytes) else b"")
        except UnreadableImage:
            raise
        except Exception as error:  # as above
            raise damaged(kind, error) from None
        height, width = pixels.shape[:2]
        return StoredImage(
            pixels=pixels, height=height, width=width, orientation=_orientation(image, kind), profile=profile
        )


def _without_address(error: Exception) -> str:
    """Return the error's text; Pillow's for an unknown image holds the address of a Python object."""
    return "no image in it" if "cannot identify image file" in str(error) else str(error) or type(error).__name__


def _orientation(image: Image.Image, kind: str) -> int:
    """Return EXIF's 1..8; Pillow has applied a TIFF's own already."""
    block = image.info.get("exif")
    return exif.orientation(block) if kind != "TIFF" and isinstance(block, bytes) else exif.UPRIGHT


def _to_rgb(image: Image.Image, kind: str, profile: bytes) -> tuple[Pixels, bytes]:
    """Return RGB and the profile that is still to be applied."""
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and kind == "PNG"):
        return _high_byte(image), profile
    if image.mode in {"I", "F"}:
        raise UnreadableImage(f"{kind} with 32-bit samples, whose black and white nothing tells: save it with 8 or 16")
    if image.mode == "CMYK":
        converted = image_to_srgb(image, profile) if profile else None
        return np.asarray(converted or image.convert("RGB")), b""
    if image.mode in HALF_TRANSPARENT_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, (WHITE, WHITE, WHITE))
        canvas.paste(rgba, mask=rgba)
        return np.asarray(canvas), profile
    return np.asarray(image.convert("RGB")), profile


def _high_byte(image: Image.Image) -> Pixels:
    gray = (np.asarray(image).astype(np.uint32) >> 8).clip(0, WHITE).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        gray = WHITE - gray
    return np.repeat(gray[:, :, None], 3, axis=2)


def webp_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) of a WebP's canvas; UnreadableImage where its first chunk is none that begins an image.

    Source: https://developers.google.com/speed/webp/docs/riff_container and, for lossy, RFC 6386, 9.1.
    """
    kind, head = data[12:16], data[20:30]
    if len(head) == 10:  # noqa: PLR2004
        if kind == b"VP8X":
            return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
        if kind == b"VP8L" and head[0] == 0x2F:  # noqa: PLR2004
            bits = int.from_bytes(head[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        if kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":
            return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise damaged("WEBP", "no image header in it")
