"""The .lst file of im2rec: one line per record, ``id <tab> label [<tab> label ...] <tab> relative path``.

Source: tools/im2rec.py of MXNet 1.9.1 (write_list, read_list). A path goes in as its bytes, so names that are not UTF-8
survive. A tab or line break inside a path, which the format has no room for, is written as %09, %0A or %0D, and a
literal occurrence of such a code with its per cent sign as %25; every other path stands there as it is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.contract import ContainerError

MIN_FIELDS = 3
MAX_LINE_BYTES = 1024**2
# Records hold labels as 32-bit floats.
LARGEST_LABEL = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
_UNSAFE = re.compile(r"[\t\n\r]|%(?=25|09|0A|0D)")
_CODE = re.compile(r"%(25|09|0A|0D)")


class ListRow(NamedTuple):
    """One line of a list; ``labels`` holds label-width numbers, at least one."""

    id: int
    labels: tuple[float, ...]
    path: str


def list_bytes(rows: Iterable[tuple[int, Sequence[float], str]]) -> bytes:
    """Return the .lst file of (id, labels, relative path)."""
    return "".join(
        f"{id_}\t{''.join(f'{label:f}	' for label in labels)}{escape_path(path)}\n" for id_, labels, path in rows
    ).encode(errors="surrogateescape")


def read_rows(path: Path) -> list[ListRow]:
    """Return the rows of a .lst file, paths as they stand there (see `unescape_path`).

    ContainerError with the line where it is malformed or where two lines have different label widths.
    """
    rows: list[ListRow] = []
    for number, text in _lines(path):
        row = _row(text)
        if row is None:
            raise ContainerError(f"{path}: line {number} is not 'id<tab>label<tab>path' with numbers: correct it")
        if rows and len(row.labels) != len(rows[0].labels):
            raise ContainerError(
                f"{path}: line {number} has {len(row.labels)} labels, the first line {len(rows[0].labels)}: "
                "give every image as many labels"
            )
        rows.append(row)
    return rows


def read_list(path: Path) -> dict[int, str]:
    """Return the relative path of each record id in a .lst file that this project wrote; errors as `read_rows`."""
    return {row.id: unescape_path(row.path) for row in read_rows(path)}


def escape_path(path: str) -> str:
    """Return a path as a line can hold it."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", path)


def unescape_path(text: str) -> str:
    """Undo `escape_path`."""
    return _CODE.sub(lambda match: chr(int(match[1], 16)), text)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the numbered lines of a file that are not blank."""
    with path.open("rb") as file:
        # Of a limited length: what only bears the name of a list may be one line of gigabytes.
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start=1):
            if len(line) == MAX_LINE_BYTES:
                raise ContainerError(f"{path}: line {number} has more than {MAX_LINE_BYTES} bytes: this is no list")
            text = line.rstrip(b"\r\n").decode(errors="surrogateescape")
            if text.strip():
                yield number, text


def _row(text: str) -> ListRow | None:
    fields = text.split("\t")
    if len(fields) < MIN_FIELDS or not fields[-1]:
        return None
    try:
        row = ListRow(int(fields[0]), tuple(map(float, fields[1:-1])), fields[-1])
    except (ValueError, OverflowError):
        return None
    return row if row.id >= 0 and all(abs(label) <= LARGEST_LABEL for label in row.labels) else None
