"""Image files that no library at hand writes: every kind of PNG, run-length BMP, tiled and big-endian TIFF."""

from __future__ import annotations

import random
import struct
import zlib

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# x and y of the first pixel and the steps of each Adam7 pass: https://www.w3.org/TR/png-3/#8InterlaceMethods
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PALETTE_ENTRIES = 16
BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4
TIFF_TYPE_SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4}


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, *, depth: int, color: int, interlaced: bool = False, extra: tuple[bytes, ...] = ()
) -> bytes:
    """Return a PNG of any color type and depth; ``extra`` chunks stand before the image data."""
    generator = random.Random(f"{width} {height} {depth} {color}")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    palette = b""
    if color == 3:
        entries = min(PALETTE_ENTRIES, 1 << depth)
        palette = png_chunk(b"PLTE", bytes(generator.randrange(256) for _ in range(3 * entries)))
    rows = b""
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            for _ in range(max(lines, 0)):
                rows += b"\0" + _png_row(generator, columns, depth, color)
    data = zlib.compress(rows)
    middle = len(data) // 2
    body = palette + b"".join(extra) + png_chunk(b"IDAT", data[:middle]) + png_chunk(b"IDAT", data[middle:])
    return PNG_MAGIC + header + body + png_chunk(b"IEND", b"")


def _png_row(generator: random.Random, columns: int, depth: int, color: int) -> bytes:
    size = -(-columns * depth * PNG_CHANNELS[color] // 8)
    # An index behind the palette's end would be a damaged file.
    limit = PALETTE_ENTRIES if color == 3 and depth == 8 else 256
    return bytes(generator.randrange(limit) for _ in range(size))


def bmp(width: int, height: int, *, bits: int, compression: int = 0, pixels: bytes | None = None) -> bytes:
    """Return a BMP with a BITMAPINFOHEADER; a negative ``height`` is a picture from top to bottom."""
    stride = (width * bits + 31) // 32 * 4
    if pixels is None:
        pixels = bytes(number * 7 % 251 for number in range(stride * abs(height)))
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F) if compression == 3 else b""
    colors = 1 << bits if bits <= 8 else 0
    palette = b"".join(struct.pack("<BBBB", n * 37 % 256, n * 91 % 256, n * 11 % 256, 0) for n in range(colors))
    start = 14 + 40 + len(masks) + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 2835, 2835, colors, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + masks + palette + pixels


def bmp_run_length(width: int, height: int, *, bits: int) -> bytes:
    """Return an RLE8 (8 bits) or RLE4 (4 bits) BMP: runs, literal pixels, a jump, ends of lines and of the picture."""
    line = bytes((width - 3, 0x12, 0, 3)) + (b"\x01\x02\x03\0" if bits == 8 else b"\x12\x30") + b"\0\0"
    jump = bytes((0, 2, 1, 1)) if height > 2 else b""
    body = line * (height - 1) + jump + bytes((width - 1, 0x21)) + b"\0\1"
    return bmp(width, height, bits=bits, compression=1 if bits == 8 else 2, pixels=body)


def bmp_os2(width: int, height: int) -> bytes:
    """Return a 24-bit BMP with the 12-byte header of OS/2."""
    pixels = bytes(number % 256 for number in range((width * 24 + 31) // 32 * 4 * height))
    header = struct.pack("<IHHHH", 12, width, height, 1, 24)
    return struct.pack("<2sIHHI", b"BM", 26 + len(pixels), 0, 0, 26) + header + pixels


def tiff(
    width: int, height: int, *, order: str = "<", tile: int = 0, planar: bool = False, bits: int = 8, channels: int = 3
) -> bytes:
    """Return an uncompressed TIFF: strips or square tiles, either byte order, planes apart, 8 or 16 bits."""
    side_x, side_y = (tile, tile) if tile else (width, height)
    blocks = -(-width // side_x) * -(-height // side_y) * (channels if planar else 1)
    block = bytes(n * 13 % 253 for n in range(side_x * side_y * (1 if planar else channels) * bits // 8))
    offsets = [8 + number * len(block) for number in range(blocks)]
    entries = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [1]),
        262: (SHORT, [2 if channels >= 3 else 1]),
        277: (SHORT, [channels]),
        284: (SHORT, [2 if planar else 1]),
    }
    entries |= {274: (SHORT, [6])} if order == ">" else {}
    if tile:
        entries |= {322: (LONG, [tile]), 323: (LONG, [tile])}
    entries |= {324 if tile else 273: (LONG, offsets), 325 if tile else 279: (LONG, [len(block)] * blocks)}
    entries |= {} if tile else {278: (LONG, [height])}
    return _tiff_file(order, block * blocks, entries)


def _tiff_file(order: str, body: bytes, entries: dict[int, tuple[int, list[int]]]) -> bytes:
    start = 8 + len(body) + len(body) % 2
    behind = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == SHORT else 'I'}", *numbers)
        if len(packed) > 4:
            packed, values = struct.pack(order + "I", behind + len(values)), values + packed
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return magic + body + bytes(len(body) % 2) + directory + bytes(4) + values


def chunks_of_png(data: bytes) -> list[bytes]:
    """Return a PNG's magic and its chunks as far as they are whole; what is behind them comes last."""
    pieces, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            break
        pieces.append(data[position:end])
        position = end
    return [*pieces, data[position:]]
