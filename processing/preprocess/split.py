"""Which image goes where: a seeded, stratified split that is exact in every class."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from common.contract import ContainerError
from preprocess.scan import Item

SPLITS = ("train", "validation", "test")


def order_key(item: Item, seed: int) -> bytes:
    """Return what an image is ordered by: a hash of seed and relative path, so no file order or clock has a say."""
    return hashlib.sha256(f"{seed}\0{item.path}".encode()).digest()


def in_hash_order(items: Iterable[Item], seed: int) -> list[Item]:
    """Return the images in their seeded shuffled order, classes mixed."""
    return sorted(items, key=lambda item: (order_key(item, seed), item.path))


def sample_per_class(items: Sequence[Item], *, images_per_class: int) -> list[Item]:
    """Keep the first ``images_per_class`` of each class in the given order, all for 0; a smaller class stays whole."""
    if images_per_class == 0:
        return list(items)
    taken: dict[int, int] = defaultdict(int)
    kept = []
    for item in items:
        if taken[item.label] < images_per_class:
            taken[item.label] += 1
            kept.append(item)
    return kept


def split_items(
    items: Sequence[Item], *, classes: Sequence[str], validation_fraction: float, test_fraction: float
) -> dict[str, list[Item]]:
    """Assign hash-ordered images to train, validation and test, class by class; each keeps the given order.

    The first images of a class are tested, the next validate, the rest train, so a change of the validation share
    leaves the test images alone. ContainerError where a class has too few images to be in every split.
    """
    fractions = _fractions(validation_fraction, test_fraction)
    by_label: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    split_of: dict[str, str] = {}
    for label, name in enumerate(classes):
        counts = split_counts(len(by_label[label]), fractions, name=name)
        position = 0
        for split in ("test", "validation", "train"):
            for item in by_label[label][position : position + counts[split]]:
                split_of[item.path] = split
            position += counts[split]
    return {split: [item for item in items if split_of[item.path] == split] for split in SPLITS}


def _fractions(validation: float, test: float) -> dict[str, Fraction]:
    """Return exact shares: the decimal that was typed, not its nearest binary float."""
    shares = {"validation": Fraction(repr(validation)), "test": Fraction(repr(test))}
    return {"train": 1 - shares["validation"] - shares["test"], **shares}


def split_counts(total: int, fractions: Mapping[str, Fraction], *, name: str) -> dict[str, int]:
    """Divide ``total`` images by largest remainder (ties: train, validation, test).

    A split with a share above 0 gets at least one image, taken from the largest. ContainerError for class ``name``
    where there are fewer images than such splits.
    """
    wanted = [split for split in SPLITS if fractions[split] > 0]
    if total < len(wanted):
        raise ContainerError(
            f"class {name!r} has {total} usable image{'' if total == 1 else 's'}, at least {len(wanted)} are needed "
            f"for {', '.join(wanted)}: add images, remove the folder, or set a split's fraction to 0"
        )
    counts = {split: int(fractions[split] * total) for split in SPLITS}
    by_remainder = sorted(SPLITS, key=lambda split: counts[split] - fractions[split] * total)
    for split in by_remainder[: total - sum(counts.values())]:
        counts[split] += 1
    for split in wanted:
        if counts[split] == 0:
            counts[max(SPLITS, key=lambda other: counts[other])] -= 1
            counts[split] = 1
    return counts
