"""Reads packed images back, by the .idx and .lst beside a .rec file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# dmlc-core, include/dmlc/recordio.h; the image header: MXNet, python/mxnet/recordio.py.
_MAGIC = struct.pack("<I", 0xCED7230A)
_PART = struct.Struct("<4sI")
_IMAGE = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_LAST_FLAGS = (0, 3)


def images(records: Path) -> Iterator[tuple[str, bytes]]:
    """Yield relative path and encoded image of each record, in the order of the .idx file."""
    names = {int(row[0]): row[-1] for row in _rows(records.with_suffix(".lst"))}
    with records.open("rb") as file:
        for id_, offset in _rows(records.with_suffix(".idx")):
            file.seek(int(offset))
            data = _record(file)
            labels = _IMAGE.unpack_from(data)[0]
            yield names[int(id_)], data[_IMAGE.size + 4 * labels :]


def count(records: Path) -> int:
    """Return how many records the .idx file names."""
    return len(_rows(records.with_suffix(".idx")))


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def _record(file: IO[bytes]) -> bytes:
    """Return one record's data; its parts are what lay between aligned occurrences of the magic."""
    parts = []
    while True:
        magic, word = _PART.unpack(file.read(_PART.size))
        if magic != _MAGIC:
            raise ValueError(f"{file.name}: no record where the .idx file says")
        length = word & ((1 << _LENGTH_BITS) - 1)
        parts.append(file.read(length + -length % 4)[:length])
        if word >> _LENGTH_BITS in _LAST_FLAGS:
            return _MAGIC.join(parts)
