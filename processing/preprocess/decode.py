"""Encoded image bytes to RGB pixels, upright and with the wanted short side."""

from __future__ import annotations

from typing import Literal

import numpy as np

from preprocess.errors import UnreadableImage
from preprocess.jpeg import read_jpeg
from preprocess.scaling import Pixels, cut_square, resize, scaled_size, upright
from preprocess.stored_image import StoredImage

__all__ = ["Pixels", "UnreadableImage", "read_image"]

JPEG_START = b"\xff\xd8"
# How a file of each format begins; the names are Pillow's.
STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
RIFF, WEBP = b"RIFF", b"WEBP"


def read_image(
    data: bytes, *, short_side: int, crop: Literal["none", "square"] = "none", convert_icc: bool = False
) -> Pixels:
    """Decode an image and scale it so that its short side is ``short_side`` (0: as it is); uint8 RGB (H, W, 3).

    JPEG, PNG, WebP, BMP, GIF and TIFF, the first frame of several; content decides, not the file name.
    ``crop="square"`` cuts the middle square out of the upright image before scaling. Transparency is composited on
    white, EXIF orientation applied, 16-bit samples reduced to their high byte, and with ``convert_icc`` the colours
    converted to sRGB where the file holds a colour profile. UnreadableImage, with the reason, is all that is raised.
    """
    image = _read(data, short_side, square=crop == "square", convert_icc=convert_icc)
    pixels, height, width = image.pixels, image.height, image.width
    if crop == "square":
        pixels = cut_square(pixels, height=height, width=width, orientation=image.orientation)
        height = width = min(height, width)
    pixels = resize(pixels, size=scaled_size(height, width, short_side))
    if image.profile:
        from preprocess.color_profile import to_srgb  # importing Pillow takes longer than decoding

        pixels = to_srgb(pixels, image.profile)
    return np.ascontiguousarray(upright(pixels, image.orientation))


def _read(data: bytes, short_side: int, *, square: bool, convert_icc: bool) -> StoredImage:
    if not data:
        raise UnreadableImage("empty file")
    if data.startswith(JPEG_START):
        return read_jpeg(data, short_side=short_side, square=square, convert_icc=convert_icc)
    kind = _kind(data)
    from preprocess.pillow_formats import read_with_pillow  # as above

    return read_with_pillow(data, kind, short_side=short_side, square=square, convert_icc=convert_icc)


def _kind(data: bytes) -> str:
    if data.startswith(RIFF) and data[8:12] == WEBP:
        return "WEBP"
    for start, kind in STARTS.items():
        if data.startswith(start):
            return kind
    raise UnreadableImage("neither JPEG, PNG, WebP, BMP, GIF nor TIFF, whatever its name says")
