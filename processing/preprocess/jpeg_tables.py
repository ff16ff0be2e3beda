"""Whether the tables, references and markers of a JPEG are in order, without decoding it; standard library only.

What OpenCV gives up on, instead of showing a damaged picture, is wrong here already.
Source: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annexes B and C.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from preprocess import exif
from preprocess.jpeg_header import (
    APPLICATION_SEGMENTS,
    COMMENT,
    EXIF_SEGMENT,
    FRAMES,
    PROGRESSIVE,
    SCAN,
    START,
    Segment,
    segments,
)

HUFFMAN, QUANTIZATION, RESTART_INTERVAL = 0xC4, 0xDB, 0xDD
END_CODE = 0xD9
# Between scans there may be what stands before them.
BETWEEN_SCANS = frozenset({HUFFMAN, QUANTIZATION, RESTART_INTERVAL, SCAN, COMMENT, *APPLICATION_SEGMENTS})
# In image data 255 is followed by 0, by the code of a restart, or by another 255 as a filler.
MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
HIGHEST_TABLE = 3
HIGHEST_DC_SYMBOL = 15
CODE_LENGTHS = 16
MOST_SYMBOLS = 256
QUANTIZED = 64
WHOLE_SPECTRUM = b"\0\x3f\0"
FRAME_SIZE, COMPONENT_SIZE, RESTART_SIZE = 6, 3, 2


def in_order(data: bytes, found: Iterable[Segment], *, core: bytes, scan: int) -> bool:
    """Whether a JPEG is in order from its start to its end marker.

    ``found`` are its segments, ``core`` their `core_bytes`, and ``scan`` is where the first scan header starts.

    Tables have sane contents, the scan refers to what is there, EXIF says clearly that the image is upright, and the
    first marker that cannot stand in image data or between scans is the end, with nothing behind it.
    """
    upright = all(
        exif.surely_upright(data[start:end])
        for code, _, start, end in found
        if code == EXIF_SEGMENT and data.startswith(exif.PREFIX, start, end)
    )
    return upright and _core_in_order(core) and _ends(data, scan)


def core_bytes(data: bytes, found: Iterable[Segment]) -> bytes:
    """Return the segments that decide on the pixels, without metadata and comments."""
    return b"".join(
        [data[marker:end] for code, marker, _, end in found if code not in APPLICATION_SEGMENTS and code != COMMENT]
    )


# Most files of a data set have tables and sizes in common.
@functools.lru_cache(maxsize=1024)
def _core_in_order(core: bytes) -> bool:
    huffman: set[int] = set()
    quantization: set[int] = set()
    frames: list[tuple[int, bytes]] = []
    for code, _, start, end in segments(START + core):
        content = core[start - len(START) : end - len(START)]
        if code == SCAN:
            return len(frames) == 1 and _scan_fits(content, *frames[0], huffman, quantization)
        if code in FRAMES:
            frames.append((code, content))
        tables = _huffman_tables(content) if code == HUFFMAN else ()
        huffman.update(tables)
        quantities = _quantization_tables(content) if code == QUANTIZATION else ()
        quantization.update(quantities)
        if not (tables or quantities or _other_in_order(code, content)):
            return False
    return False


def _other_in_order(code: int, content: bytes) -> bool:
    """Whether a segment of the core that holds no table is what it should be; unknown ones are not."""
    if code in FRAMES:
        return len(content) == FRAME_SIZE + COMPONENT_SIZE * content[FRAME_SIZE - 1]
    if code == RESTART_INTERVAL:
        return len(content) == RESTART_SIZE
    return False


def _huffman_tables(content: bytes) -> tuple[int, ...]:
    """Return the numbers (class and destination) of the tables in a DHT segment, none where one is impossible."""
    found = []
    position = 0
    while position < len(content):
        counts = content[position + 1 : position + 1 + CODE_LENGTHS]
        symbols = content[position + 1 + CODE_LENGTHS : position + 1 + CODE_LENGTHS + sum(counts)]
        number, code = content[position], 0
        if len(counts) < CODE_LENGTHS or len(symbols) != sum(counts) or len(symbols) > MOST_SYMBOLS:
            return ()
        for length, count in enumerate(counts, start=1):
            code = (code << 1) + count
            if code > 1 << length:
                return ()
        if (
            number >> 4 > 1
            or number & 15 > HIGHEST_TABLE
            or (number >> 4 == 0 and max(symbols, default=0) > HIGHEST_DC_SYMBOL)
        ):
            return ()
        found.append(number)
        position += 1 + CODE_LENGTHS + len(symbols)
    return tuple(found)


def _quantization_tables(content: bytes) -> tuple[int, ...]:
    """Return the numbers of the tables in a DQT segment, none where one is impossible."""
    found = []
    position = 0
    while position < len(content):
        precision, number = content[position] >> 4, content[position] & 15
        position += 1 + QUANTIZED * (1 + precision)
        if precision > 1 or number > HIGHEST_TABLE or position > len(content):
            return ()
        found.append(number)
    return tuple(found)


def _scan_fits(scan: bytes, code: int, frame: bytes, huffman: set[int], quantization: set[int]) -> bool:
    """Whether the first scan header refers to components and tables that are there."""
    each = [frame[start : start + COMPONENT_SIZE] for start in range(FRAME_SIZE, len(frame), COMPONENT_SIZE)]
    components = {name: table for name, _, table in each}
    if not scan or len(scan) != 4 + 2 * scan[0] or len(components) != len(each):
        return False
    names, tables = scan[1 : 1 + 2 * scan[0] : 2], scan[2 : 2 + 2 * scan[0] : 2]
    if not names or len(set(names)) != len(names) or not components.keys() >= set(names):
        return False
    if not quantization >= set(components.values()):
        return False
    if code == PROGRESSIVE:
        return scan[-3:-1] == b"\0\0" and scan[-1] >> 4 == 0 and all(table >> 4 in huffman for table in tables)
    if scan[-3:] != WHOLE_SPECTRUM:
        return False
    return all(table >> 4 in huffman and 0x10 | table & 15 in huffman for table in tables)


def _ends(data: bytes, position: int) -> bool:
    """Whether the markers from the first scan header on lead to the end marker, and it is the end of the file."""
    while True:
        code = data[position + 1]
        if code == END_CODE:
            return position + 2 == len(data)
        if code not in BETWEEN_SCANS or position + 4 > len(data):
            return False
        match = MARKER_IN_SCAN.search(data, position + 2 + (data[position + 2] << 8 | data[position + 3]))
        if match is None:
            return False
        position = match.start()
