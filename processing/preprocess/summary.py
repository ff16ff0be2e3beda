"""What packing says at its end, one line per fact."""

from __future__ import annotations

from typing import Any


def print_summary(dataset: dict[str, Any]) -> None:
    """Print counts, rejections, duplicates and the content hash of dataset.json's content."""
    counts = ", ".join(f"{split} {count}" for split, count in dataset["counts"].items())
    print(f"Packed {sum(dataset['counts'].values())} images of {dataset['num_classes']} classes: {counts}")
    print(f"Rejected {dataset['rejected']} images, ignored {dataset['ignored']} files that are no images or on no list")
    found = dataset["duplicates"]
    if found["exact_sets"]:
        print(
            f"Found {found['exact_images']} images that are there more than once ({found['exact_sets']} sets), "
            f"{found['exact_sets_across_labels']} of the sets under different labels: see duplicates.csv"
        )
    if found["exact_sets_across_splits"]:
        print(f"Warning: {found['exact_sets_across_splits']} sets of equal images lie in several of the given splits")
    if found["near_sets"]:
        print(
            f"Found {found['near_images']} images that look alike ({found['near_sets']} sets), "
            f"{found['near_sets_across_splits']} of the sets in several splits: see duplicates.csv"
        )
    print(f"Content hash of the input: {dataset['content_hash']}", flush=True)
