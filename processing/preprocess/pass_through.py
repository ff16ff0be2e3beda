"""Files that are good enough to be records as they are; standard library only, so that importing it costs nothing."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence

from preprocess import exif, jpeg_header, jpeg_tables
from preprocess.jpeg_header import JpegHeader, Segment

KEY_BYTES = 16
TAIL_BYTES = 4096
BITS = 8
MAX_SIDE, MAX_PIXELS = 65_500, 89_478_485  # as preprocess.scaling has them, which imports image libraries
# Baseline, extended sequential and progressive with Huffman coding: what every decoder reads.
PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# Horizontal and vertical sampling factors are 1 to 4 (ITU T.81, B.2.2).
SAMPLING = frozenset(16 * horizontal + vertical for horizontal in range(1, 5) for vertical in range(1, 5))
# (component ids, Adobe's transform, JFIF segment) decide on how decoders read three components. Only YCbCr is sure.
YCBCR_IDS = (b"\x01\x02\x03", b"\x00\x01\x02")
YCBCR = 1

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
PNG_HEADER = struct.Struct(">IIBBBBB")
GRAY, RGB, PALETTE = 0, 2, 3
PNG_DEPTHS = {GRAY: (1, 2, 4, 8), RGB: (8,), PALETTE: (1, 2, 4, 8)}
# Chunks that change no pixel. Others make a picture transparent or animated, are unknown, or are compressed, so that
# readers differ in what they take.
FITTING_CHUNKS = frozenset(
    {
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"sBIT",
        b"pHYs",
        b"tIME",
        b"tEXt",
        b"bKGD",
        b"eXIf",
    }
)
SINGLE_CHUNKS = (b"IHDR", b"PLTE", b"IEND", b"eXIf")
PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT"})


def fits(data: bytes, *, short_side: int, crop: str = "none", convert_icc: bool = False) -> bool:
    """Whether ``data`` can be a record unchanged: a reader would get the pixels that read_image gives.

    That is a JPEG or PNG, whole as far as header, segments, markers and end can tell, upright, 8-bit grey or RGB
    without transparency, with a short side of ``short_side`` pixels (0: any) and square for ``crop="square"``; with
    ``convert_icc`` also one without a colour profile. The image data of a JPEG is not decoded, a PNG's is.
    """
    return key_if_fits(data, short_side=short_side, crop=crop, convert_icc=convert_icc) is not None


def key_if_fits(data: bytes, *, short_side: int, crop: str = "none", convert_icc: bool = False) -> bytes | None:
    """Return the `pixel_key` of ``data`` if it `fits`, else None; the segments are looked for once only."""
    found = list(jpeg_header.segments(data)) if data.startswith(jpeg_header.START) else None
    core = b"" if found is None else jpeg_tables.core_bytes(data, found)
    size = _fitting_png(data) if found is None else _fitting_jpeg(data, found, core, convert_icc)
    if size is None or not 0 < min(size) <= max(size) <= MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        return None
    if short_side not in {0, min(size)} or (crop == "square" and size[0] != size[1]):
        return None
    return _png_key(data) if found is None else _jpeg_key(data, found, core)


def pixel_key(data: bytes) -> bytes:
    """Return 16 bytes that files share whose pixels are surely equal though their comments and metadata differ.

    JPEG: frame, tables, the scan's length and its last 4 KiB; PNG: header, palette and image data; else all bytes.
    Equal keys of different pixels are possible, and mean only that two images stay in one split.
    """
    if data.startswith(jpeg_header.START):
        found = list(jpeg_header.segments(data))
        return _jpeg_key(data, found, jpeg_tables.core_bytes(data, found))
    return _png_key(data) if data.startswith(PNG_MAGIC) else _hash([data])


def _jpeg_key(data: bytes, found: Sequence[Segment], core: bytes) -> bytes:
    end = found[-1][3] if found else len(jpeg_header.START)
    return _hash([core, (len(data) - end).to_bytes(8, "big"), data[max(end, len(data) - TAIL_BYTES) :]])


def _png_key(data: bytes) -> bytes:
    return _hash([kind + data[start:end] for kind, start, end in _chunks(data) if kind in PIXEL_CHUNKS])


def _hash(pieces: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(pieces), digest_size=KEY_BYTES).digest()


def _fitting_jpeg(data: bytes, found: list[Segment], core: bytes, convert_icc: bool) -> tuple[int, int] | None:
    """Return (height, width) of a JPEG that any decoder reads as it is, else None."""
    header = jpeg_header.read_header(data, found)
    if header is None or not header.clean or not data.endswith(jpeg_header.END):
        return None
    if header.frame not in PLAIN_FRAMES or header.bits != BITS or not _plain_colors(header):
        return None
    if not SAMPLING.issuperset(header.sampling) or not header.scan_ids or header.scan_ids.strip(header.component_ids):
        return None
    if header.exif_blocks > 1 or (convert_icc and header.icc):
        return None
    return (header.height, header.width) if jpeg_tables.in_order(data, found, core=core, scan=header.data) else None


def _plain_colors(header: JpegHeader) -> bool:
    if len(header.component_ids) == 1:
        return True
    if len(header.component_ids) != 3:  # noqa: PLR2004
        return False
    return header.adobe == YCBCR or (header.adobe is None and (header.jfif or header.component_ids in YCBCR_IDS))


def _fitting_png(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of a whole PNG of at most 8 bits without transparency, else None."""
    if not data.startswith(PNG_MAGIC) or not data.endswith(PNG_END):
        return None
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", len(data) - 4, len(data) - 4):
        return None
    kinds = [kind for kind, _, _ in chunks]
    if not FITTING_CHUNKS.issuperset(kinds) or any(kinds.count(kind) > 1 for kind in SINGLE_CHUNKS):
        return None
    view = memoryview(data)
    for kind, start, end in chunks:
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        if kind == b"eXIf" and not exif.surely_upright(data[start:end]):
            return None
    size = _png_size(data[chunks[0][1] : chunks[0][2]], has_palette=b"PLTE" in kinds)
    return size if size and size[0] * size[1] <= MAX_PIXELS and _decodes(data, size) else None


def _decodes(data: bytes, size: tuple[int, int]) -> bool:
    """Whether readers take all of a PNG's image data; unlike a JPEG's, damaged data is no picture to them."""
    # Late, and only for PNG: JPEG files are kept as they are without any image library.
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    return pixels is not None and pixels.shape[:2] == size


def _png_size(header: bytes, *, has_palette: bool) -> tuple[int, int] | None:
    if len(header) != PNG_HEADER.size:
        return None
    width, height, depth, color, compression, filtering, interlace = PNG_HEADER.unpack(header)
    if depth not in PNG_DEPTHS.get(color, ()) or (compression, filtering) != (0, 0) or interlace > 1:
        return None
    return None if color == PALETTE and not has_palette else (height, width)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield a PNG's chunks (type, start and end of the content) while they are whole."""
    position = len(PNG_MAGIC)
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            return
        yield data[position + 4 : position + 8], position + 8, end
        position = end + 4
