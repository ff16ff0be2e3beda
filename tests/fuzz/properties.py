"""Properties of RecordIO and lists: what is written is read back, whatever it is."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from common import lists
from common.recordio import MAGIC_BYTES, Header, RecordWriter, decode, encode, index_bytes, read_records

EXAMPLES = 100
# No database: what was found in an earlier run must not decide what is tried in this one.
thorough = hypothesis.settings(
    max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)

UINT64 = st.integers(0, 2**64 - 1)
LABELS = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=8).map(tuple)
HEADERS = st.builds(Header, LABELS, UINT64, UINT64)
# Parts of the magic word, and it whole, at every alignment.
PAYLOADS = st.lists(
    st.one_of(st.sampled_from([MAGIC_BYTES, MAGIC_BYTES[:1], MAGIC_BYTES[:2], MAGIC_BYTES[2:]]), st.binary(max_size=9)),
    max_size=12,
).map(b"".join)
HOSTILE = ["%", "%25", "09", "0A", "\t", "\n", "\r", " ", "a", "/", "\x85", "\x0b", "\x0c", "\u2028", "ä"]
# Any file name that a Linux file system can hold, surrogates standing for bytes that are no UTF-8.
NAMES = st.one_of(
    st.binary(min_size=1, max_size=30).map(lambda name: name.replace(b"\0", b"0").decode(errors="surrogateescape")),
    st.lists(st.sampled_from(HOSTILE), min_size=1).map("".join),
)
ROWS = st.integers(1, 8).flatmap(
    lambda width: st.lists(
        st.tuples(
            st.integers(0, 2**63), st.lists(st.integers(-1000, 1000).map(float), min_size=width, max_size=width), NAMES
        ),
        max_size=6,
        unique_by=lambda row: row[0],
    )
)


@thorough
@given(st.lists(st.tuples(HEADERS, PAYLOADS), max_size=6))
def records_survive(records: list[tuple[Header, bytes]]) -> None:
    """Write records, read them: the same headers and payloads, at the offsets of the index."""
    with tempfile.TemporaryFile() as memory, tempfile.NamedTemporaryFile(suffix=".rec") as named:
        writer = RecordWriter(memory)
        for header, payload in records:
            writer.write(header, payload)
        memory.seek(0)
        whole = memory.read()
        named.write(whole)
        named.flush()
        found = list(read_records(Path(named.name)))
    assert [(record.header, record.payload) for record in found] == records
    assert [(record.header.id, record.offset) for record in found] == writer.index
    rows = [line.split("\t") for line in index_bytes(writer.index).decode().splitlines()]
    assert [(int(id_), int(offset)) for id_, offset in rows] == writer.index
    for _, offset in writer.index:
        assert offset % 4 == 0
        assert whole.startswith(MAGIC_BYTES, offset)
    # A reader that starts anywhere looks for an aligned magic with flag 0 or 1: there is none inside of a record.
    starts = {offset for _, offset in writer.index}
    for place in range(0, len(whole) - 7, 4):
        magic, word = struct.unpack_from("<4sI", whole, place)
        assert magic != MAGIC_BYTES or word >> 29 not in (0, 1) or place in starts


@thorough
@given(HEADERS, PAYLOADS)
def data_survives(header: Header, payload: bytes) -> None:
    """Encode one record's data, decode it: the same."""
    assert decode(encode(header, payload)) == (header, payload)


@thorough
@given(ROWS)
def lists_survive(rows: list[tuple[int, list[float], str]]) -> None:
    """Write a list, read it: the same ids, labels and paths, one line each."""
    written = lists.list_bytes(rows)
    assert written.count(b"\n") == len(rows)
    with tempfile.NamedTemporaryFile(suffix=".lst") as named:
        named.write(written)
        named.flush()
        read = lists.read_rows(Path(named.name))
        by_id = lists.read_list(Path(named.name))
    assert [(row.id, list(row.labels)) for row in read] == [(id_, labels) for id_, labels, _ in rows]
    assert by_id == {id_: name for id_, _, name in rows}


Property = Callable[[], None]  # a test of Hypothesis, which passes its arguments
PROPERTIES: tuple[Property, ...] = (records_survive, data_survives, lists_survive)


class Properties:
    """The properties as a target: each input is a round of examples, shrunk by Hypothesis where one fails."""

    name = "round trips"
    seconds_per_input = 300.0
    accepted, refused = "equal", "different"

    def make(self, seed: int, number: int) -> bytes:
        """Return nothing: Hypothesis makes the inputs from the round's number."""
        return b""

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Try one property; return how many examples it held for."""
        run = PROPERTIES[number % len(PROPERTIES)]
        tried = [0]
        handle = run.hypothesis  # type: ignore[attr-defined]
        original = handle.inner_test
        handle.inner_test = _counted(original, tried)
        try:
            hypothesis.seed(f"{seed}/{number}")(run)()
        finally:
            handle.inner_test = original
        return tried[0], 0

    def replay(self, data: bytes) -> None:
        """A round has no file; it is repeated by its number."""


def _counted(function: Callable[..., None], tried: list[int]) -> Callable[..., None]:
    def counting(*arguments: object, **named: object) -> None:
        tried[0] += 1
        function(*arguments, **named)

    return counting
