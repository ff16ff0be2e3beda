"""Packs image files into the records of train, validation and test: the library behind the containers and the command.

All of it in one place (`pack`), or apart: `pack_shard` tries a share of the images on each of several instances, and
`merge_shards` makes of their pools what `pack` would have made. Equal images and settings give equal bytes either way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from common.files import AtomicFiles
from preprocess import assign, describe, records
from preprocess.convert import MAX_FILE_BYTES, size_of
from preprocess.divide import Division, Expectation, divide, expect
from preprocess.fill import fill
from preprocess.images import write_images
from preprocess.label import Item, Labelled, label
from preprocess.layout import Layout
from preprocess.pool import Entry, Pool, read_pools, side_files, write_pool
from preprocess.settings import SPLITS, Settings
from preprocess.walk import Found, walk

# What decides on a shard's bytes; shards made with other values do not belong together.
POOL_SETTINGS = (
    "resize",
    "crop",
    "images_per_class",
    "seed",
    "record_format",
    "quality",
    "pass_through",
    "convert_icc",
)

Write = Callable[[AtomicFiles, Division], set[Path]]


def pack(source: Path, layout: Layout, settings: Settings) -> dict[str, Any]:
    """Pack the images below ``source``; returns the content of dataset.json.

    Writes all files of ``layout`` or, on an error, none; a split without images gets no files.
    """
    with layout.locked():
        found = walk(source)
        pool = _empty_pool(source, found)
        labelled = label(found.images, lists=pool.lists, names=pool.names, where=str(source))
        expected = expect(labelled, settings)
        planned = _plan(source, layout, expected, settings)
        order = planned.order if planned else expected.items
        entries, segments = fill(
            source,
            [item.path for item in order],
            settings,
            folder=layout.work,
            planned=list(planned.files.values()) if planned else (),
            places=planned.places if planned else (),
        )
        pool.entries.extend(entries)
        pool.entries.extend(_untried(source, [rejection.path for rejection in labelled.rejections], found))
        pool.segments.extend(segments)
        division = divide(expected, labelled, pool, settings)

        def write(files: AtomicFiles, division: Division) -> set[Path]:
            if planned and records.went_to_plan(planned, division):
                return records.adopt_records(files, layout, division, planned)
            return _write(files, layout, division, pool.segments, settings)

        return _finish(layout, labelled, division, settings, ignored=len(pool.ignored), write=write)


def pack_shard(source: Path, folder: Path, settings: Settings, *, host: str, hosts: Sequence[str]) -> int:
    """Try this instance's share of the images; leaves a pool in ``folder``/``host`` and returns how many it tried."""
    place = folder / host
    place.mkdir(parents=True, exist_ok=True)
    found = walk(source)
    pool = _empty_pool(source, found)
    share = _share_of_sample(found.images, settings)
    entries, segments = fill(source, share, settings, folder=place)
    pool.entries.extend(entries)
    pool.entries.extend(_untried(source, set(found.images).difference(share), found))
    pool.segments.extend(segments)
    write_pool(place, pool, host=host, hosts=hosts, fingerprint=_fingerprint(settings))
    return len(entries)


def merge_shards(folder: Path, layout: Layout, settings: Settings) -> dict[str, Any]:
    """Make of the pools below ``folder`` what `pack` makes of all images, without decoding any of them."""
    with layout.locked():
        pool = read_pools(folder, fingerprint=_fingerprint(settings))
        paths = [entry.path for entry in pool.entries]
        labelled = label(paths, lists=pool.lists, names=pool.names, where="the input")
        division = divide(expect(labelled, settings), labelled, pool, settings)

        def write(files: AtomicFiles, division: Division) -> set[Path]:
            return _write(files, layout, division, pool.segments, settings)

        return _finish(layout, labelled, division, settings, ignored=len(pool.ignored), write=write)


def _empty_pool(source: Path, found: Found) -> Pool:
    lists, names = side_files(source, found)
    return Pool(rejections=found.rejections, ignored=found.ignored, lists=lists, names=names)


def _plan(source: Path, layout: Layout, expected: Expectation, settings: Settings) -> records.Plan | None:
    """Plan the records where payloads are the files themselves, so that their sizes are known beforehand."""
    if not settings.pass_through or settings.output != "recordio":
        return None
    sizes = {item.path: size_of(f"{source}/{item.path}") for item in expected.items}
    # Too large a file gets no place: it is rejected when it is tried.
    sizes = {path: size if size <= MAX_FILE_BYTES else 0 for path, size in sizes.items()}
    files = {split: layout.records(split).with_name(f".{split}.rec.partial") for split in SPLITS}
    planned = records.plan(expected, sizes, files)
    for path in planned.files.values():
        path.touch()
    return planned


def _untried(source: Path, paths: Iterable[str], found: Found) -> list[Entry]:
    """Return entries of images that are not to be used: their sizes are reported, their names tell the classes."""
    return [
        Entry(path=path, size=size_of(f"{source}/{path}"), tried=False)
        for path in sorted(set(paths) & set(found.images))
    ]


def _share_of_sample(paths: Sequence[str], settings: Settings) -> list[str]:
    """Return what can be in the sample of each class: as many images of every folder as a class may have at most.

    Which folders make up a class is known only once all paths are.
    """
    items = [Item(path=path, labels=(), stratum=path.rpartition("/")[0]) for path in paths]
    ordered = assign.in_hash_order(items, settings.seed)
    return [item.path for item in assign.sample(ordered, images_per_class=settings.images_per_class)]


def _fingerprint(settings: Settings) -> str:
    values = [getattr(settings, name) for name in (*POOL_SETTINGS, "listing_hash")]
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _write(
    files: AtomicFiles, layout: Layout, division: Division, segments: Sequence[Path], settings: Settings
) -> set[Path]:
    if settings.output == "recordio":
        return records.write_records(files, layout, division, segments)
    return write_images(files, layout, division, segments, settings)


def _finish(
    layout: Layout, labelled: Labelled, division: Division, settings: Settings, *, ignored: int, write: Write
) -> dict[str, Any]:
    content, describing = describe.describe(division, labelled, settings, ignored=ignored)
    with AtomicFiles() as files:
        written = write(files, division)
        for name, data in describing.items():
            files.open(layout.described / name).write(data)
        files.sync()  # which may take long, and until then the earlier outputs stay where they are
        layout.remove_outputs(keep=written)
    return content
