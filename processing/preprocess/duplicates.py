"""Images that are the same, or nearly: the same stay in one split, the others are reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from preprocess.pool import Entry

# Of the 64 bits of a difference hash. Pairs within three differing bits share one of four 16-bit bands.
NEAR_BITS = 3
BANDS, BAND_BITS = 4, 16
# A hash of almost all zeros or ones says that a picture is flat, not that it looks like another one.
FLAT_BITS = 6
HASH_BITS = 64
# Of more hashes in one band only neighbours are compared, so that many alike pictures cost no square.
MOST_COMPARED = 128


class Union:
    """Disjoint sets of the numbers 0..n-1; a set's name is its least member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, number: int) -> int:
        """Return the name of the set that ``number`` is in."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        """Make the sets of two numbers one."""
        if first == second:
            return
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low

    def names(self) -> list[int]:
        """Return the set of every number."""
        return [self.find(number) for number in range(len(self._parent))]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Sets of positions, each of two or more: the same image, and images that look alike (None: nobody looked)."""

    exact: list[list[int]]
    near: list[list[int]] | None


def exact_sets(entries: Sequence[Entry]) -> list[int]:
    """Return for each entry the number of its set of equal images: same file, or same stored pixels."""
    union = Union(len(entries))
    first: dict[bytes, int] = {}
    for position, entry in enumerate(entries):
        for name in (entry.digest, entry.key):
            union.join(first.setdefault(name, position), position)
    return union.names()


def find_duplicates(entries: Sequence[Entry], exact: Sequence[int]) -> Duplicates:
    """Return the sets of equal and of near-equal images; ``exact`` is what `exact_sets` returned."""
    near = None
    if all(entry.look >= 0 for entry in entries):
        near = _sets(_near_sets(entries, exact), least_looks=exact)
    return Duplicates(exact=_sets(exact), near=near)


def joined(*numberings: Sequence[int | str]) -> list[int]:
    """Return cluster numbers that keep together whatever any of the numberings keeps together."""
    union = Union(len(numberings[0]))
    for numbering in numberings:
        first: dict[int | str, int] = {}
        for position, name in enumerate(numbering):
            union.join(first.setdefault(name, position), position)
    return union.names()


def _sets(numbering: Sequence[int], least_looks: Sequence[int] | None = None) -> list[list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for position, number in enumerate(numbering):
        members[number].append(position)
    several = [positions for positions in members.values() if len(positions) > 1]
    if least_looks is None:
        return several
    return [positions for positions in several if len({least_looks[position] for position in positions}) > 1]


def _near_sets(entries: Sequence[Entry], exact: Sequence[int]) -> list[int]:
    union = Union(len(entries))
    first: dict[int, int] = {}
    for position, entry in enumerate(entries):
        union.join(exact[position], position)
        if FLAT_BITS <= entry.look.bit_count() <= HASH_BITS - FLAT_BITS:
            union.join(first.setdefault(entry.look, position), position)
    for one, other in _near_pairs(sorted(first)):
        union.join(first[one], first[other])
    return union.names()


def _near_pairs(looks: Sequence[int]) -> Iterable[tuple[int, int]]:
    for band in range(BANDS):
        buckets: dict[int, list[int]] = defaultdict(list)
        for look in looks:
            buckets[look >> (band * BAND_BITS) & ((1 << BAND_BITS) - 1)].append(look)
        for bucket in buckets.values():
            for position, look in enumerate(bucket):
                for other in bucket[position + 1 : position + 1 + MOST_COMPARED]:
                    if (look ^ other).bit_count() <= NEAR_BITS:
                        yield look, other
