"""RecordIO: what is written is read back, split at magic words as MXNet does, and damage is named."""

import random
import struct
from pathlib import Path

import pytest

from common.contract import ContainerError
from common.recordio import (
    MAGIC_BYTES,
    Header,
    RecordWriter,
    decode,
    encode,
    frame,
    index_bytes,
    read_records,
)


def write(path: Path, records: list[tuple[Header, bytes]]) -> RecordWriter:
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for header, payload in records:
            writer.write(header, payload)
    return writer


def test_header_layout_is_mxnets() -> None:
    assert encode(Header((3.0,), 7, 9), b"xy") == struct.pack("<IfQQ", 0, 3.0, 7, 9) + b"xy"
    wide = encode(Header((1.0, 2.5), 7), b"xy")
    assert wide == struct.pack("<IfQQ", 2, 0.0, 7, 0) + struct.pack("<2f", 1.0, 2.5) + b"xy"


def test_part_layout_is_dmlcs() -> None:
    assert frame(b"abcde") == MAGIC_BYTES + struct.pack("<I", 5) + b"abcde\0\0\0"
    first = MAGIC_BYTES + struct.pack("<I", 1 << 29 | 4) + b"abcd"
    last = MAGIC_BYTES + struct.pack("<I", 3 << 29 | 2) + b"ef\0\0"
    assert frame(b"abcd" + MAGIC_BYTES + b"ef") == first + last


def test_a_magic_word_off_the_grid_does_not_split() -> None:
    assert frame(b"a" + MAGIC_BYTES) == MAGIC_BYTES + struct.pack("<I", 5) + b"a" + MAGIC_BYTES + b"\0\0\0"


@pytest.mark.parametrize("seed", range(40))
def test_round_trip_of_hostile_payloads(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    pieces = [MAGIC_BYTES, MAGIC_BYTES[:2], b"\0", b"abc", MAGIC_BYTES * 3]
    records = [
        (
            Header(tuple(float(number) for number in range(generator.randint(1, 3))), generator.getrandbits(64)),
            b"".join(generator.choices(pieces, k=generator.randint(0, 12))),
        )
        for _ in range(6)
    ]
    writer = write(tmp_path / "x.rec", records)
    found = list(read_records(tmp_path / "x.rec"))
    assert [(record.header, record.payload) for record in found] == records
    assert [(record.header.id, record.offset) for record in found] == writer.index
    assert all(offset % 4 == 0 for _, offset in writer.index)


def test_every_truncation_is_noticed_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    second = write(path, [(Header((1.0,), 0), b"abcdef"), (Header((2.0,), 1), b"gh" + MAGIC_BYTES)]).index[1][1]
    whole = path.read_bytes()
    for length in range(second + 1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ContainerError, match=r"x\.rec is damaged at byte \d+"):
            list(read_records(path))


def test_damage_names_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    second = write(path, [(Header((1.0,), 0), b"abcdef"), (Header((2.0,), 1), b"gh")]).index[1][1]
    damaged = bytearray(path.read_bytes())
    damaged[second] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ContainerError, match=f"damaged at byte {second}: expected the magic 0xced7230a"):
        list(read_records(path))


def test_too_few_bytes_for_the_declared_labels() -> None:
    with pytest.raises(ValueError, match="too few for 1000000 labels"):
        decode(struct.pack("<IfQQ", 1000000, 0.0, 0, 0))


def test_the_index_holds_ids_and_offsets(tmp_path: Path) -> None:
    writer = write(tmp_path / "x.rec", [(Header((1.0,), 0), b"abcdef"), (Header((2.0,), 1), b"gh")])
    assert index_bytes(writer.index) == b"0\t0\n1\t40\n"
