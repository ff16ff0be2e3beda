"""The orientation out of an EXIF block, without an image library; a broken block counts as upright, as in viewers."""

from __future__ import annotations

import struct
from typing import NamedTuple

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
    try:
        tag = _orientation_tag(block.removeprefix(PREFIX))
        if tag is None or tag.values != 1:
            return UPRIGHT
        (value,) = struct.unpack_from(tag.order + WHOLE_NUMBERS[tag.kind], tag.value)
    except (struct.error, KeyError):
        return UPRIGHT
    return int(value) if value in range(1, 9) else UPRIGHT


def surely_upright(block: bytes) -> bool:
    """Whether every reader takes an EXIF block for upright.

    It is whole and has no orientation, or as one SHORT a value that turns nothing: 1, or the 0 that some cameras write.
    """
    try:
        tag = _orientation_tag(block.removeprefix(PREFIX))
        if tag is None:
            return True
        (value,) = struct.unpack_from(tag.order + "H", tag.value)
    except (struct.error, KeyError):
        return False
    return (tag.kind, tag.values) == (SHORT, 1) and value not in range(2, 9)


class _Tag(NamedTuple):
    """An entry of a directory: byte order as in struct, type number, how many values, and the bytes from there on."""

    order: str
    kind: int
    values: int
    value: bytes


def _orientation_tag(tiff: bytes) -> _Tag | None:
    """Return the entry of the orientation, None where there is none; KeyError or struct.error for a damaged block."""
    order = BYTE_ORDERS[tiff[:4]]
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, start + 2 + ENTRY_SIZE * count, ENTRY_SIZE):
        tag, kind, values = struct.unpack_from(order + "HHI", tiff, entry)
        if tag == ORIENTATION:
            return _Tag(order=order, kind=kind, values=values, value=tiff[entry + 8 : entry + ENTRY_SIZE])
    return None
