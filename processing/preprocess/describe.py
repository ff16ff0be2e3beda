"""What a packed data set says about itself: dataset.json, labels.json, rejected.csv, duplicates.csv."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from common.files import json_bytes
from preprocess.divide import Division
from preprocess.label import Labelled
from preprocess.pool import Entry
from preprocess.settings import SPLITS, Settings
from preprocess.walk import Rejection

SCHEMA_VERSION = 2


def describe(
    division: Division, labelled: Labelled, settings: Settings, *, ignored: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the content of dataset.json, and all describing files by name with dataset.json as the last."""
    content = dataset(division, labelled, settings, ignored=ignored)
    files = {
        "labels.json": json_bytes(labelled.classes),
        "rejected.csv": rejected_csv(division.rejections),
        "duplicates.csv": duplicates_csv(division, labelled.classes),
        "dataset.json": json_bytes(content),
    }
    return content, files


def dataset(division: Division, labelled: Labelled, settings: Settings, *, ignored: int) -> dict[str, Any]:
    """Return dataset.json; ``num_training_samples`` counts the images of the train split alone.

    ``rejected`` counts images that could not be used, ``ignored`` files that are no images by their names or that no
    list names.
    """
    splits = {split: division.positions(split) for split in SPLITS}
    counts = {split: len(positions) for split, positions in splits.items()}
    size = settings.image_size
    content = {
        "schema_version": SCHEMA_VERSION,
        "classes": labelled.classes,
        "num_classes": len(labelled.classes),
        "label_width": labelled.label_width,
        "num_training_samples": counts["train"],
        "counts": counts,
        "class_counts": {split: _class_counts(division, positions, labelled) for split, positions in splits.items()},
        "rejected": len(division.rejections),
        "ignored": ignored + len(labelled.ignored),
        "duplicates": _duplicate_counts(division),
        "content_hash": content_hash(division.entries),
        "image_shape": [3, size, size] if size else None,
        "output": settings.output,
        "resize": settings.resize,
        "crop": settings.crop,
        "record_format": settings.record_format,
        "quality": settings.quality,
        "pass_through": settings.pass_through,
        "convert_icc": settings.convert_icc,
        "seed": settings.seed,
        "group_by": settings.group_by,
        "images_per_class": settings.images_per_class,
        "given_splits": sorted(labelled.given_splits),
        "validation_fraction": settings.validation_fraction,
        "test_fraction": settings.test_fraction,
    }
    if settings.listing_hash:
        content["listing_hash"] = settings.listing_hash
    return content


def content_hash(entries: Iterable[Entry]) -> str:
    """Return ``sha256:<hex>`` over every used file: sorted relative paths, each with the SHA-256 of its bytes."""
    total = hashlib.sha256()
    for path, digest in sorted((entry.path, entry.digest) for entry in entries):
        total.update(f"{path}\0{digest.hex()}\n".encode(errors="surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _class_counts(division: Division, positions: Sequence[int], labelled: Labelled) -> dict[str, int]:
    """Count the images of each class; with several labels an image counts for each that is not 0."""
    counted: Counter[int] = Counter()
    for position in positions:
        labels = division.items[position].labels
        counted.update([int(labels[0])] if len(labels) == 1 else [number for number, on in enumerate(labels) if on])
    return {name: counted[number] for number, name in enumerate(labelled.classes)}


def _duplicate_counts(division: Division) -> dict[str, int | None]:
    """Count sets and images: equal ones, and ones that only look alike (None where images were not decoded)."""
    exact, near = division.duplicates.exact, division.duplicates.near

    def several(sets: Iterable[Sequence[int]], of: Sequence[object]) -> int:
        return sum(len({of[position] for position in positions}) > 1 for positions in sets)

    return {
        "exact_sets": len(exact),
        "exact_images": sum(map(len, exact)),
        "exact_sets_across_splits": several(exact, division.splits),
        "exact_sets_across_labels": several(exact, [item.labels for item in division.items]),
        "near_sets": None if near is None else len(near),
        "near_images": None if near is None else sum(map(len, near)),
        "near_sets_across_splits": None if near is None else several(near, division.splits),
    }


def duplicates_csv(division: Division, classes: Sequence[str]) -> bytes:
    """Return duplicates.csv: kind (exact or near), number of the set, split, labels and path of each of its images."""
    rows = []
    for kind, sets in (("exact", division.duplicates.exact), ("near", division.duplicates.near or [])):
        for number, positions in enumerate(sets):
            for position in positions:
                item = division.items[position]
                shown = classes[int(item.labels[0])] if len(item.labels) == 1 else " ".join(map(repr, item.labels))
                rows.append((kind, number, division.splits[position], shown, item.path))
    return _csv(("kind", "set", "split", "label", "path"), rows)


def rejected_csv(rejections: Sequence[Rejection]) -> bytes:
    """Return rejected.csv: path, reason and size in bytes of every image that was not used."""
    return _csv(
        ("path", "reason", "bytes"), [(rejection.path, rejection.reason, rejection.size) for rejection in rejections]
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # Python quotes a carriage return only from 3.13 on, but ends a row at it in all versions.
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(head)
    for row in rows:
        (quoting if any("\r" in str(cell) for cell in row) else writer).writerow(row)
    # Names that are not UTF-8 are shown with escapes: a table is read by people and spreadsheets.
    return text.getvalue().encode(errors="backslashreplace")
