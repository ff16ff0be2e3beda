"""Lists: im2rec's format, read and written in both directions with im2rec itself; mistakes name their line."""

import os
import random
from pathlib import Path

import pytest
from in_mxnet import in_mxnet
from pictures import encoded, gradient

from common.contract import ContainerError
from common.lists import ListRow, escape_path, list_bytes, read_list, read_rows, unescape_path

NAMES = [
    "cat/1.jpg",
    "cat/a b  c.jpg",
    "cat/tab\there.jpg",
    "cat/new\nline\r.jpg",
    "cat/%09.jpg",
    "cat/%2509 100%.jpg",
    "cat/%0a%zz%.jpg",
    "ä ö/\U0001f600.jpg",
    "cat/\u2028separator\x85.jpg",
    "-rf/'\"\\.jpg",
]


def test_the_format_is_im2recs(tmp_path: Path) -> None:
    content = list_bytes([(0, (1.0,), "dog/ä b.jpg"), (1, (0.0, 2.5, -1.0), "cat/1.jpg")])
    assert content == "0\t1.000000\tdog/ä b.jpg\n1\t0.000000\t2.500000\t-1.000000\tcat/1.jpg\n".encode()


@pytest.mark.parametrize("width", [1, 3])
def test_unusual_names_survive(tmp_path: Path, width: int) -> None:
    names = [*NAMES, os.fsdecode(b"cat/\xff\xfe.jpg")]
    labels = [tuple(float(number + column) for column in range(width)) for number in range(len(names))]
    path = tmp_path / "x.lst"
    path.write_bytes(list_bytes(zip(range(len(names)), labels, names, strict=True)))
    assert [(row.id, row.labels, unescape_path(row.path)) for row in read_rows(path)] == list(
        zip(range(len(names)), labels, names, strict=True)
    )
    assert read_list(path) == dict(enumerate(names))


def test_escapes_are_undone_whatever_the_name() -> None:
    generator = random.Random(0)
    for _ in range(3000):
        name = "".join(generator.choices(["%", "0", "2", "5", "9", "A", "D", "a", "\t", "\n", "\r", "é"], k=12))
        escaped = escape_path(name)
        assert unescape_path(escaped) == name
        assert not set(escaped) & set("\t\n\r")


def test_common_names_stand_there_as_they_are() -> None:
    for name in ("cat/1.jpg", "a%b.png", "100%.png", "%0a.png", "ä/\U0001f600 .gif"):
        assert escape_path(name) == name


IM2REC = """
import json, sys
import mxnet
sys.path.insert(0, mxnet.__path__[0] + "/tools")
import im2rec
"""
READ = IM2REC + "print(json.dumps([list(im2rec.read_list(path)) for path in sys.argv[1:]]))"
WRITE = (
    IM2REC
    + """
sys.argv = ["im2rec.py", "--list", "--recursive", "--test-ratio", "0.25", "--train-ratio", "0.5", *sys.argv[1:]]
im2rec.make_list(im2rec.parse_args())
print(json.dumps(None))
"""
)


def test_im2rec_reads_our_lists(tmp_path: Path) -> None:
    paths, rows = [], []
    for width in (1, 3):
        labels = [tuple(number + column / 4 for column in range(width)) for number in range(len(NAMES))]
        rows.append(list(zip(range(len(NAMES)), NAMES, labels, strict=True)))
        paths.append(tmp_path / f"{width}.lst")
        paths[-1].write_bytes(list_bytes((id_, labels, name) for id_, name, labels in rows[-1]))
    found = in_mxnet(READ, *paths)
    assert [[(id_, unescape_path(name), tuple(labels)) for id_, name, *labels in items] for items in found] == rows


def test_we_read_the_lists_of_im2rec(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = ["cat/1.png", "cat/a b.png", "cat/100%.png", "cat/ä.png", "dog/\U0001f600.png", "dog/2.png", "dog/3.png"]
    names.append("emu/%41.png")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(gradient(8, 8)))
    in_mxnet(WRITE, tmp_path / "x", root)
    rows = [row for part in ("train", "val", "test") for row in read_rows(tmp_path / f"x_{part}.lst")]
    assert sorted(unescape_path(row.path) for row in rows) == sorted(names)
    assert {row.id for row in rows} == set(range(len(names)))
    assert all(row.labels == (float(["cat", "dog", "emu"].index(row.path.split("/")[0])),) for row in rows)


def test_line_ends_of_windows_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.lst"
    path.write_bytes(b"0\t1.0\tcat/1.jpg\r\n\r\n \n7\t0\tdog/2.jpg")
    assert read_rows(path) == [ListRow(0, (1.0,), "cat/1.jpg"), ListRow(7, (0.0,), "dog/2.jpg")]
    path.write_bytes(b"")
    assert read_rows(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "1\tcat.jpg",
        "x\t1.0\tcat.jpg",
        "1\tdog\tcat.jpg",
        "1\t1.0\t",
        "-1\t1.0\tx.jpg",
        "1\tnan\tx.jpg",
        "1\tinf\tx.jpg",
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.lst"
    path.write_text(f"0\t1.0\tcat/1.jpg\n{line}\n")
    with pytest.raises(ContainerError, match=r"x\.lst: line 2 is not 'id<tab>label<tab>path'"):
        read_rows(path)


def test_lines_of_different_widths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.lst"
    path.write_text("0\t1.0\tcat/1.jpg\n\n1\t1.0\t2.0\tcat/2.jpg\n")
    with pytest.raises(ContainerError, match="line 3 has 2 labels, the first line 1: give every image as many labels"):
        read_rows(path)
