"""Writes a .rec, .idx and .lst file per split, from a pool or by taking the records where they were planned to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import AtomicFiles
from common.lists import list_bytes
from common.recordio import Header, RecordWriter, index_bytes, padding, whole_header
from preprocess.divide import Division, Expectation
from preprocess.fill import Place
from preprocess.label import Item
from preprocess.layout import Layout
from preprocess.pool import Entry, Payloads
from preprocess.settings import SPLITS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where every record will be if each image is used as it is: what saves a second copy of all bytes.

    ``order`` holds the expected items split by split, ``places`` a place for each, ``files`` the file of each split
    that has any.
    """

    order: list[Item]
    places: list[Place]
    files: dict[str, Path]


def plan(expected: Expectation, sizes: Mapping[str, int], files: Mapping[str, Path]) -> Plan:
    """Lay out the records of the expected images, whose payloads are to have ``sizes`` bytes by path."""
    planned = Plan(order=[], places=[], files={})
    for split in SPLITS:
        items = [item for item, name in zip(expected.items, expected.splits, strict=True) if name == split]
        if not items:
            continue
        number, offset = len(planned.files), 0
        planned.files[split] = files[split]
        for id_, item in enumerate(items):
            length = sizes[item.path]
            head = whole_header(Header(item.labels, id_), length)
            planned.order.append(item)
            planned.places.append(Place(number, offset, head, length))
            offset += len(head) + length + len(padding(length))
    return planned


def went_to_plan(planned: Plan, division: Division) -> bool:
    """Whether every expected image was written in its place, and belongs there."""
    entries = [division.entries[position] for split in SPLITS for position in division.positions(split)]
    if len(entries) != len(planned.order):
        return False
    return all(
        entry.path == item.path and entry.segment == place.file and entry.offset == place.offset + len(place.head)
        for entry, item, place in zip(entries, planned.order, planned.places, strict=True)
    )


def write_records(files: AtomicFiles, layout: Layout, division: Division, segments: Sequence[Path]) -> set[Path]:
    """Write the .rec, .idx and .lst files of all splits that have images; returns their paths."""
    written: set[Path] = set()
    with Payloads(segments) as payloads:
        for split in SPLITS:
            positions = division.positions(split)
            if not positions:
                continue
            writer = RecordWriter(files.open(layout.records(split)))
            for id_, position in enumerate(positions):
                _write_record(
                    writer, Header(division.items[position].labels, id_), division.entries[position], payloads
                )
            written |= {layout.records(split), *_describe(files, layout, split, division, writer.index)}
    return written


def adopt_records(files: AtomicFiles, layout: Layout, division: Division, planned: Plan) -> set[Path]:
    """Make the planned files the .rec files, and write .idx and .lst beside them; returns all paths."""
    written: set[Path] = set()
    start = 0
    for split, path in planned.files.items():
        files.adopt(path, layout.records(split))
        count = len(division.positions(split))
        index = [(id_, place.offset) for id_, place in enumerate(planned.places[start : start + count])]
        start += count
        written |= {layout.records(split), *_describe(files, layout, split, division, index)}
    return written


def _write_record(writer: RecordWriter, header: Header, entry: Entry, payloads: Payloads) -> None:
    payload = payloads.read(entry)
    if entry.magic:
        writer.write(header, payload)
    else:
        writer.write_parts(header.id, whole_header(header, entry.length), payload, padding(entry.length))


def _describe(
    files: AtomicFiles, layout: Layout, split: str, division: Division, index: Sequence[tuple[int, int]]
) -> set[Path]:
    rows = [
        (id_, division.items[position].labels, division.items[position].path)
        for id_, position in enumerate(division.positions(split))
    ]
    files.open(layout.index(split)).write(index_bytes(index))
    files.open(layout.record_list(split)).write(list_bytes(rows))
    return {layout.index(split), layout.record_list(split)}
