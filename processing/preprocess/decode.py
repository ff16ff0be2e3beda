"""Encoded image bytes to RGB pixels, upright and with the wanted short side."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from preprocess.errors import UnreadableImage as UnreadableImage

Pixels = npt.NDArray[np.uint8]

# Pillow's own bound for what may be a decompression bomb; 268 MB as RGB.
MAX_PIXELS = 89_478_485
MAX_JPEG_SIDE = 65_500
MAX_HALVINGS = 3
# The decoder's own shrinking blurs more than averaging, so averaging has to do the last step. 512-pixel photos to 112:
# 45 dB against averaging the whole image, without the margin 39 dB.
HALVING_MARGIN = 1.25
JPEG_MAGIC = b"\xff\xd8"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
EXIF_ORIENTATION = 0x0112
DIRECT_JPEG_COLORS = ("RGB", "YCbCr", "Gray")
WHITE = 255
# Read from Pillow's modes: what holds more than 8 bits in a channel.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """RGB pixels (H, W, 3) as stored, the (height, width) that the file's own size scales to, and EXIF's 1..8."""

    pixels: Pixels
    size: tuple[int, int]
    orientation: int


def read_image(
    data: bytes, *, short_side: int, crop: Literal["none", "square"] = "none", convert_icc: bool = False
) -> Pixels:
    """Decode a JPEG or PNG and scale it so that its short side is ``short_side``; returns uint8 RGB (H, W, 3).

    Content decides, not the file name. Transparency is composited on white, EXIF orientation applied, 16-bit samples
    reduced to their high byte. Larger images are averaged down (area), smaller ones interpolated up (cubic).
    UnreadableImage with the reason where the bytes are no whole image, or where it is too large.
    """
    if not data:
        raise UnreadableImage("empty file")
    if data.startswith(JPEG_MAGIC):
        decoded = _read_jpeg(data, short_side)
    elif data.startswith(PNG_MAGIC):
        decoded = _read_with_pillow(data, short_side, kind="PNG")
    else:
        raise UnreadableImage("neither a JPEG nor a PNG, whatever its name says")
    return np.ascontiguousarray(_upright(resize(decoded.pixels, size=decoded.size), decoded.orientation))


def resize(pixels: Pixels, *, size: tuple[int, int]) -> Pixels:
    """Scale (H, W, 3) to ``size`` (height, width): averaged where it shrinks, interpolated where it grows."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    method = cv2.INTER_AREA if min(height, width) >= min(size) else cv2.INTER_CUBIC
    return cv2.resize(pixels, (size[1], size[0]), interpolation=method).astype(np.uint8, copy=False)


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the shorter one ``short_side`` and the other rounded to keep the aspect."""
    short = min(height, width)
    if height == short:
        return short_side, (width * short_side + short // 2) // short
    return (height * short_side + short // 2) // short, short_side


def _target_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return the size after scaling; refuse what fits no memory, before or after it, or no JPEG."""
    if height < 1 or width < 1:
        raise UnreadableImage(f"{width}x{height} pixels")
    if height * width > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    new_height, new_width = scaled_size(height, width, short_side)
    if new_height * new_width > MAX_PIXELS or max(new_height, new_width) > MAX_JPEG_SIDE:
        raise UnreadableImage(f"{width}x{height} pixels would become {new_width}x{new_height}: too long for its width")
    return new_height, new_width


def _read_jpeg(data: bytes, short_side: int) -> Decoded:
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise UnreadableImage(f"damaged JPEG: {_one_line(error)}") from None
    size = _target_size(height, width, short_side)
    if colors not in DIRECT_JPEG_COLORS:
        return _read_with_pillow(data, short_side, kind="JPEG")
    step = 1 << _halvings(min(height, width), short_side)
    try:
        # Asking for the exact size of 1/step makes the decoder choose it; other ratios are slower than none.
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=-(-height // step), min_width=-(-width // step))
    except ValueError as error:
        raise UnreadableImage(f"damaged JPEG: {_one_line(error)}") from None
    return Decoded(pixels=pixels, size=size, orientation=_jpeg_orientation(data))


def _halvings(short: int, short_side: int) -> int:
    """Return how often the decoder may halve the image and still leave a margin above the wanted short side."""
    halvings = 0
    while halvings < MAX_HALVINGS and short >> (halvings + 1) >= HALVING_MARGIN * short_side:
        halvings += 1
    return halvings


def _jpeg_orientation(data: bytes) -> int:
    """Return the EXIF orientation 1..8; only the first kilobytes can hold it, and most files have no EXIF at all."""
    if b"Exif\0\0" not in data[: 1 << 16]:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return _orientation(image)
    except (OSError, ValueError, SyntaxError, struct.error):
        return 1


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 where the tag is absent or the EXIF block is broken, as viewers do."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, struct.error, KeyError, TypeError):
        return 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _read_with_pillow(data: bytes, short_side: int, *, kind: str) -> Decoded:
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            width, height = image.size
            size = _target_size(height, width, short_side)
            image.load()
            return Decoded(pixels=_to_rgb(image), size=size, orientation=_orientation(image))
    except UnidentifiedImageError:
        raise UnreadableImage(f"damaged {kind}: no image in it") from None
    except (OSError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"damaged {kind}: {_one_line(error)}") from None


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode in DEEP_MODES:
        high_byte = (np.asarray(image).astype(np.uint32) >> 8).clip(0, WHITE).astype(np.uint8)
        return np.repeat(high_byte[:, :, None], 3, axis=2)
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (WHITE, WHITE, WHITE, WHITE))
        return np.asarray(Image.alpha_composite(canvas, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the EXIF orientation: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, tag 0x0112."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
