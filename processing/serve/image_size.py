"""The size that an image file declares, without decoding it."""

from __future__ import annotations

import io

from PIL import Image

from preprocess import jpeg_header
from preprocess.errors import UnreadableImage
from preprocess.pillow_formats import webp_size

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_SIZE_END = 24
FORMATS = ("GIF", "BMP", "TIFF")


def size_of(data: bytes) -> tuple[int, int]:
    """Return (height, width) of the first frame; UnreadableImage where the header is damaged or of no known format."""
    if data.startswith(jpeg_header.START):
        header = jpeg_header.read_header(data)
        if header is None:
            raise UnreadableImage("damaged JPEG: no whole image header in it")
        return header.height, header.width
    if data.startswith(PNG_MAGIC):
        if len(data) < PNG_SIZE_END or data[12:16] != b"IHDR":
            raise UnreadableImage("damaged PNG: no image in it")
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = webp_size(data)
        return height, width
    try:
        # Reads headers only.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.height, image.width
    except Exception:  # Pillow's readers raise whatever a damaged file leads them to
        raise UnreadableImage("neither JPEG, PNG, WebP, BMP, GIF nor TIFF, or its header is damaged") from None
