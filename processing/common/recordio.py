"""RecordIO as MXNet reads it, written and read without MXNet.

A file is a sequence of parts: magic (4 bytes), flag and length (3 and 29 bits), data, zero bytes up to a multiple of 4.
A record whose data holds the magic at a 4-byte-aligned place is split there, without the magic itself, into parts
flagged first, middle and last, so that a reader can find a record's start anywhere in a file.
Source: dmlc-core, include/dmlc/recordio.h and src/recordio.cc; for the image header python/mxnet/recordio.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from common.contract import ContainerError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
LENGTH_BITS = 29
LENGTH_MASK = (1 << LENGTH_BITS) - 1
WHOLE, FIRST, MIDDLE, LAST = 0, 1, 2, 3
_MAGIC = re.compile(re.escape(MAGIC_BYTES))  # faster than bytes.find on image data
PART_HEADER = struct.Struct("<II")
IMAGE_HEADER = struct.Struct("<IfQQ")


class Header(NamedTuple):
    """Labels and ids of one image record (IRHeader); ``labels`` holds label-width floats, at least one."""

    labels: tuple[float, ...]
    id: int
    id2: int = 0

    @property
    def label(self) -> float:
        """The first label, the class index of a classification record."""
        return self.labels[0]


class Record(NamedTuple):
    """One record of a file: its header, the encoded image, and the offset in bytes where it starts."""

    header: Header
    payload: bytes
    offset: int


def encode(header: Header, payload: bytes) -> bytes:
    """Return header and payload as one record's data (IRHeader: flag, label, id, id2).

    One label goes into the label field with flag 0; several follow the header as float32, their count in flag.
    """
    if not header.labels:
        raise ValueError("a record needs at least one label")
    if len(header.labels) == 1:
        return IMAGE_HEADER.pack(0, header.labels[0], header.id, header.id2) + payload
    labels = struct.pack(f"<{len(header.labels)}f", *header.labels)
    return IMAGE_HEADER.pack(len(header.labels), 0.0, header.id, header.id2) + labels + payload


def decode(data: bytes) -> tuple[Header, bytes]:
    """Return header and payload of one record's data; ValueError where it is too short for what it declares."""
    if len(data) < IMAGE_HEADER.size:
        raise ValueError(f"{len(data)} bytes are too few for a record header of {IMAGE_HEADER.size}")
    width, label, id_, id2 = IMAGE_HEADER.unpack_from(data)
    if width == 0:
        return Header((label,), id_, id2), data[IMAGE_HEADER.size :]
    start = IMAGE_HEADER.size + 4 * width
    if len(data) < start:
        raise ValueError(f"{len(data)} bytes are too few for {width} labels")
    return Header(struct.unpack_from(f"<{width}f", data, IMAGE_HEADER.size), id_, id2), data[start:]


def frame(data: bytes) -> bytes:
    """Return one record's data as the parts of a file; its length is a multiple of 4."""
    if len(data) > LENGTH_MASK:
        raise ValueError(f"a record holds less than {1 << LENGTH_BITS} bytes, got {len(data)}")
    pieces = _split(data)
    if len(pieces) == 1:
        return _part(WHOLE, pieces[0])
    flags = [FIRST, *[MIDDLE] * (len(pieces) - 2), LAST]
    return b"".join(_part(flag, piece) for flag, piece in zip(flags, pieces, strict=True))


def whole_header(header: Header, payload_bytes: int) -> bytes:
    """Return what stands before a payload of a record that needs no splitting: part header, IRHeader and labels."""
    head = encode(header, b"")
    return PART_HEADER.pack(MAGIC, WHOLE << LENGTH_BITS | (len(head) + payload_bytes)) + head


def padding(payload_bytes: int) -> bytes:
    """Return the zero bytes behind a payload; headers are multiples of 4, so only its own length counts."""
    return bytes(-payload_bytes % 4)


def holds_magic(payload: bytes) -> bool:
    """Tell whether a payload has the magic at a 4-byte-aligned place, so that its record is written in parts."""
    return any(match.start() % 4 == 0 for match in _MAGIC.finditer(payload))


def _split(data: bytes) -> list[bytes]:
    """Cut ``data`` at every 4-byte-aligned magic; only full words count, as in dmlc-core."""
    pieces, start = [], 0
    position = data.find(MAGIC_BYTES)
    while position != -1:
        if position % 4 == 0:
            pieces.append(data[start:position])
            start = position + 4
        # the magic's four bytes differ, so two occurrences cannot overlap
        position = data.find(MAGIC_BYTES, position + 4)
    return [*pieces, data[start:]]


def _part(flag: int, piece: bytes) -> bytes:
    return PART_HEADER.pack(MAGIC, flag << LENGTH_BITS | len(piece)) + piece + bytes(-len(piece) % 4)


class RecordWriter:
    """Writes records to a binary file that its owner opens and closes, and remembers where each began."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offset = 0
        self.index: list[tuple[int, int]] = []

    def write(self, header: Header, payload: bytes) -> int:
        """Append one record; return its offset in bytes."""
        return self.write_parts(header.id, frame(encode(header, payload)))

    def write_parts(self, id_: int, *framed: bytes) -> int:
        """Append one record whose bytes are framed already; return its offset in bytes."""
        offset = self._offset
        for part in framed:
            self._offset += self._file.write(part)
        self.index.append((id_, offset))
        return offset


def index_bytes(index: Iterable[tuple[int, int]]) -> bytes:
    """Return the .idx file of (id, offset in bytes): per record ``id <tab> offset``."""
    return "".join(f"{id_}\t{offset}\n" for id_, offset in index).encode()


def read_records(path: Path) -> Iterator[Record]:
    """Yield every record of a .rec file in order; ContainerError with the offset where the file is damaged."""
    with path.open("rb") as file:
        offset = 0
        while True:
            data, end = _read_record(file, offset, path)
            if data is None:
                return
            try:
                header, payload = decode(data)
            except ValueError as error:
                raise _damaged(path, offset, str(error)) from None
            yield Record(header, payload, offset)
            offset = end


def _read_record(file: IO[bytes], start: int, path: Path) -> tuple[bytes | None, int]:
    """Read the parts of the record at ``start``: its data and the offset behind it, or None at the file's end."""
    pieces: list[bytes] = []
    offset = start
    while True:
        head = file.read(PART_HEADER.size)
        if not head and not pieces:
            return None, offset
        flag, length = _part_head(head, path, offset)
        if flag not in ((MIDDLE, LAST) if pieces else (WHOLE, FIRST)):
            raise _damaged(path, offset, f"a part with flag {flag} cannot stand here")
        padded = length + -length % 4
        body = file.read(padded)
        if len(body) < padded:
            raise _damaged(path, offset, f"a part of {length} bytes is cut off after {len(body)}")
        pieces.append(body[:length])
        offset += PART_HEADER.size + padded
        if flag in (WHOLE, LAST):
            return MAGIC_BYTES.join(pieces), offset


def _part_head(head: bytes, path: Path, offset: int) -> tuple[int, int]:
    if len(head) < PART_HEADER.size:
        raise _damaged(path, offset, "the file ends inside a record")
    magic, word = PART_HEADER.unpack(head)
    if magic != MAGIC:
        raise _damaged(path, offset, f"expected the magic {MAGIC:#x}, found {magic:#x}")
    return word >> LENGTH_BITS, word & LENGTH_MASK


def _damaged(path: Path, offset: int, what: str) -> ContainerError:
    return ContainerError(f"{path} is damaged at byte {offset}: {what}; pack the images again")
