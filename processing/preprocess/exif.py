"""The orientation out of an EXIF block, without an image library; a broken block counts as upright, as in viewers."""

from __future__ import annotations

import struct

UPRIGHT = 1
PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
# The tag's type is SHORT; some programs write it as BYTE or LONG. Type number to struct letter.
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I"}
ENTRY_SIZE = 12
SHORT = 3
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(block: bytes) -> int:
    """Return the orientation 1..8 of the first directory of an EXIF block, with or without its ``Exif`` prefix.

    1 where the tag is missing, out of its range, or anything about the block is damaged.
    Source: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.2 and tag 0x0112.
    """
    tiff = block.removeprefix(PREFIX)
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + ENTRY_SIZE * count, ENTRY_SIZE):
            tag, kind, values = struct.unpack_from(order + "HHI", tiff, entry)
            if tag == ORIENTATION:
                value = struct.unpack_from(order + WHOLE_NUMBERS[kind], tiff, entry + 8)[0] if values == 1 else UPRIGHT
                return int(value) if value in range(1, 9) else UPRIGHT
    except (struct.error, KeyError):
        return UPRIGHT
    return UPRIGHT


def surely_upright(block: bytes) -> bool:
    """Whether every reader takes an EXIF block for upright.

    It is whole and has no orientation, or as one SHORT a value that turns nothing: 1, or the 0 that some cameras write.
    """
    tiff = block.removeprefix(PREFIX)
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return False
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + ENTRY_SIZE * count, ENTRY_SIZE):
            tag, kind, values = struct.unpack_from(order + "HHI", tiff, entry)
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(order + "H", tiff, entry + 8)
                return (kind, values) == (SHORT, 1) and value not in range(2, 9)
    except struct.error:
        return False
    return True
