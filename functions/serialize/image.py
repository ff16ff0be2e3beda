"""Checks an image file, and shrinks it to what a model reads of it."""

from __future__ import annotations

import io
import warnings
from typing import Final, NamedTuple

from PIL import Image

# The packer's bounds, which the endpoint keeps too: Pillow's own for a decompression bomb, and a JPEG's longest side.
MAX_PIXELS: Final = 89_478_485
MAX_JPEG_SIDE: Final = 65_500
MAX_WEBP_SIDE: Final = 16_383
# Pillow unpacks these two compressions of BMP in Python, so that a few bytes may cost it minutes.
RUN_LENGTHS: Final = (1, 2)
MAX_RUN_LENGTH_PIXELS: Final = 1 << 24
# Of the long side a model reads no more than the middle; so much of it is sent, in short sides.
LONGEST_SIDE: Final = 4

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png"}
_ANY_TYPE: Final = "application/x-image"
# As the packer writes records: quality, and full colour where there are few pixels.
_QUALITY: Final = 95
_FULL_COLOR_BELOW: Final = 128
_SUBSAMPLING: Final = {True: "4:4:4", False: "4:2:2"}
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

# What Pillow warns about is then accepted, or refused with a reason.
warnings.filterwarnings("ignore", module=r"PIL\.")


class InvalidImage(Exception):
    """A file that is no image, or none that can be used; trying again changes nothing."""


class Payload(NamedTuple):
    """An encoded image as the endpoint takes it."""

    body: bytes
    content_type: str


def serialise(data: bytes, *, short_side: int, max_bytes: int) -> Payload:
    """`data` (a file of FORMATS) with a shorter side of at most `short_side` pixels, in at most `max_bytes`.

    A file that is small enough goes as it is, once it has been decoded as a proof. A larger one becomes an upright
    JPEG like the packer's records, with its colour profile, whose longer side is cut in the middle to LONGEST_SIDE
    times the shorter: models read the middle. Raises InvalidImage with one line for everything else.
    """
    if not data:
        raise InvalidImage("the file is empty: upload it again")
    image = _open(data)
    kind = image.format or ""
    small = min(image.size) <= short_side
    try:
        if not small and kind == "JPEG":
            # The decoder scales by 1/2, 1/4 or 1/8 for next to nothing; twice the size is left for the filter.
            image.draft(image.mode, (2 * short_side, 2 * short_side))
        image.load()
        if small and len(data) <= max_bytes:
            return Payload(data, _TYPES.get(kind, _ANY_TYPE))
        profile = image.info.get("icc_profile")
        orientation = _orientation(image, kind)
        image = _shrunk(_plain(image, kind), short_side)
    except InvalidImage:
        raise
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise InvalidImage(f"damaged {kind}: {_one_line(error)}: save it again from its original") from None
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    return Payload(_fitting(image, profile, max_bytes), "image/jpeg")


def _open(data: bytes) -> Image.Image:
    """The image behind a checked header; nothing is decoded yet."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        # Pillow takes the memory for a WebP's frames before it tells their size.
        width, height = _webp_size(data)
        if max(width, height) > MAX_WEBP_SIDE:
            raise InvalidImage(f"{width}x{height} pixels, although a WebP has at most {MAX_WEBP_SIDE} a side")
        _check_size(width, height)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InvalidImage(f"more pixels than the limit of {MAX_PIXELS}: scale it down") from None
    except Exception:  # as above
        raise InvalidImage(f"no image, or a damaged one: {', '.join(FORMATS)} can be read") from None
    _check_size(*image.size)
    if image.info.get("compression") in RUN_LENGTHS and image.width * image.height > MAX_RUN_LENGTH_PIXELS:
        raise InvalidImage(f"{image.width}x{image.height} pixels are more than a BMP with run lengths may have")
    return image


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InvalidImage(f"{width}x{height} pixels")
    if width * height > MAX_PIXELS or max(width, height) > MAX_JPEG_SIDE:
        raise InvalidImage(
            f"{width}x{height} pixels are more than the limit of {MAX_PIXELS} ({MAX_JPEG_SIDE} a side): scale it down"
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP's canvas.

    Source: https://developers.google.com/speed/webp/docs/riff_container and, for lossy, RFC 6386, 9.1.
    """
    kind, head = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF


def _orientation(image: Image.Image, kind: str) -> int:
    """EXIF's 1..8; Pillow has applied a TIFF's own already. A damaged block counts as upright, as in viewers."""
    block = image.info.get("exif")
    if kind == "TIFF" or not isinstance(block, bytes):
        return 1
    exif = Image.Exif()
    try:
        exif.load(block)
        return int(exif.get(_ORIENTATION, 1))
    except Exception:  # as above; the image is good without it
        return 1


def _plain(image: Image.Image, kind: str) -> Image.Image:
    """The image in a mode that JPEG has: as the packer does, transparency on white and 16 bits to their high byte."""
    if image.mode.startswith("I;16"):
        high = 0 if image.mode.endswith("B") else 1
        gray = Image.frombytes("L", image.size, image.tobytes()[high::2])
        inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return gray.point(lambda value: 255 - value) if inverted else gray
    if image.mode in {"I", "F"}:
        raise InvalidImage(f"{kind} with 32-bit samples, whose black and white nothing tells: save it with 8 or 16")
    if image.mode in {"L", "RGB", "CMYK"} and "transparency" not in image.info:
        return image
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, (255, 255, 255))
        canvas.paste(rgba, mask=rgba)
        return canvas
    return image.convert("L" if image.mode == "1" else "RGB")


def _shrunk(image: Image.Image, short_side: int) -> Image.Image:
    """The middle of the image, its shorter side `short_side` pixels, never larger than it is."""
    short, long = min(image.size), max(image.size)
    if short > short_side:
        scaled = (long * short_side + short // 2) // short
        size = (short_side, scaled) if image.width == short else (scaled, short_side)
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        short, long = short_side, scaled
    # An even number goes, so that the middle stays the middle.
    margin = max(0, long - LONGEST_SIDE * short) // 2
    left, top = (0, margin) if image.height == long else (margin, 0)
    return image.crop((left, top, image.width - left, image.height - top))


def _fitting(image: Image.Image, profile: object, max_bytes: int) -> bytes:
    """The image as a JPEG of at most `max_bytes`, with fewer pixels where it must be."""
    while True:
        buffer = io.BytesIO()
        subsampling = _SUBSAMPLING[min(image.size) < _FULL_COLOR_BELOW]
        icc = profile if isinstance(profile, bytes) else None
        image.save(buffer, "JPEG", quality=_QUALITY, subsampling=subsampling, icc_profile=icc)
        if buffer.tell() <= max_bytes:
            return buffer.getvalue()
        if profile is not None and len(icc or b"") > max_bytes // 2:
            profile = None  # larger than the image
        elif min(image.size) == 1:
            raise InvalidImage(f"does not fit into {max_bytes} bytes: raise max_payload_mb")
        else:
            image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.BOX)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
