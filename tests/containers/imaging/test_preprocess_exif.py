"""The orientation out of an EXIF block: both byte orders, and upright wherever anything is wrong with it."""

import struct

import pytest
from pictures import with_orientation

from preprocess import exif

SHORT, LONG, RATIONAL = 3, 4, 5


def block(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    """Return a directory of (tag, type, count, value) entries."""
    content = b"".join(
        struct.pack(order + "HHI", tag, kind, count)
        + struct.pack(order + ("HH" if kind == SHORT else "I"), *([value, 0] if kind == SHORT else [value]))
        for tag, kind, count, value in entries
    )
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(entries)) + content


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [SHORT, LONG])
def test_reads_all_values(order: str, value: int, kind: int) -> None:
    data = block(order, (0x010E, SHORT, 1, 9), (0x0112, kind, 1, value))
    assert exif.orientation(data) == exif.orientation(b"Exif\0\0" + data) == value


def test_reads_pillows() -> None:
    assert exif.orientation(with_orientation(6).tobytes()) == 6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Exif\0\0",
        b"no block at all",
        block("<"),
        block("<", (0x010E, SHORT, 1, 6)),
        block("<", (0x0112, SHORT, 1, 0)),
        block("<", (0x0112, SHORT, 1, 9)),
        block("<", (0x0112, RATIONAL, 1, 6)),
        block("<", (0x0112, SHORT, 2, 6)),
        block("<", (0x0112, SHORT, 1, 6))[:-3],
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_anything_else_is_upright(data: bytes) -> None:
    assert exif.orientation(data) == 1
