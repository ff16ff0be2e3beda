"""What a packed data set says about itself: dataset.json, labels.json, rejected.csv."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from common.files import json_bytes
from preprocess.scan import Item, Listing, Rejection
from preprocess.settings import Settings

SCHEMA_VERSION = 1


def content_hash(digests: Mapping[str, str]) -> str:
    """Return ``sha256:<hex>`` over every used file: sorted relative paths, each with the SHA-256 of its bytes."""
    total = hashlib.sha256()
    for path in sorted(digests):
        total.update(f"{path}\0{digests[path]}\n".encode())
    return f"sha256:{total.hexdigest()}"


def dataset(
    *,
    listing: Listing,
    splits: Mapping[str, Sequence[Item]],
    digests: Mapping[str, str],
    rejected: int,
    settings: Settings,
) -> dict[str, Any]:
    """Return dataset.json; ``num_training_samples`` counts the images of the train split alone.

    ``rejected`` counts images that could not be used, ``ignored`` files that are no images by their names.
    """
    counts = {split: len(items) for split, items in splits.items()}
    content = {
        "schema_version": SCHEMA_VERSION,
        "classes": listing.classes,
        "num_classes": len(listing.classes),
        "num_training_samples": counts["train"],
        "counts": counts,
        "class_counts": {split: _class_counts(items, listing.classes) for split, items in splits.items()},
        "rejected": rejected,
        "ignored": len(listing.ignored),
        "content_hash": content_hash(digests),
        "image_shape": [3, settings.image_size, settings.image_size],
        "resize": settings.resize,
        "record_format": settings.record_format,
        "quality": settings.quality,
        "seed": settings.seed,
        "images_per_class": settings.images_per_class,
        "validation_fraction": settings.validation_fraction,
        "test_fraction": settings.test_fraction,
    }
    if settings.listing_hash:
        content["listing_hash"] = settings.listing_hash
    return content


def _class_counts(items: Sequence[Item], classes: Sequence[str]) -> dict[str, int]:
    counted = Counter(item.label for item in items)
    return {name: counted[label] for label, name in enumerate(classes)}


def files(content: dict[str, Any], rejections: Sequence[Rejection]) -> dict[str, bytes]:
    """Return the describing files by name."""
    return {
        "dataset.json": json_bytes(content),
        "labels.json": json_bytes(content["classes"]),
        "rejected.csv": rejected_csv(rejections),
    }


def rejected_csv(rejections: Sequence[Rejection]) -> bytes:
    """Return rejected.csv: path, reason and size in bytes of every image that was not used."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "reason", "bytes"])
    writer.writerows([rejection.path, rejection.reason, rejection.size] for rejection in rejections)
    return text.getvalue().encode(errors="backslashreplace")
