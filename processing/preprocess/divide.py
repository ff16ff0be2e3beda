"""Decides from the tried images which are used, which split each is in, and what is to be reported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from common.contract import ContainerError
from preprocess.assign import assign, check_sizes, group_names, in_hash_order, order_key, sample
from preprocess.duplicates import Duplicates, exact_sets, find_duplicates, joined
from preprocess.label import Item, Labelled
from preprocess.pool import Entry, Pool
from preprocess.settings import Settings
from preprocess.walk import Rejection

NAMED_IN_ERROR = 5


@dataclass(frozen=True, kw_only=True)
class Division:
    """The used images in hash order with their entries and splits, and what is reported about all images."""

    items: list[Item]
    entries: list[Entry]
    splits: list[str]
    duplicates: Duplicates
    rejections: list[Rejection]

    def positions(self, split: str) -> list[int]:
        """Return where in ``items`` the images of a split are; their order is that of the records."""
        return [position for position, name in enumerate(self.splits) if name == split]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The images to use, in hash order, and the split of each if all can be read and none is there twice."""

    items: list[Item]
    splits: list[str]


def expect(labelled: Labelled, settings: Settings) -> Expectation:
    """Choose the images to use, and their splits, as far as paths and labels alone can tell.

    ContainerError where a class is too small for its splits already, before any image has been read.
    """
    ordered = in_hash_order(labelled.items, settings.seed)
    items = sample(ordered, images_per_class=settings.images_per_class)
    return Expectation(items=items, splits=_splits(items, labelled, settings, exact=None))


def divide(expected: Expectation, labelled: Labelled, pool: Pool, settings: Settings) -> Division:
    """Divide the expected images, of which each has an entry in the pool; the pool may hold other images too.

    ContainerError where more images are rejected than the settings allow, or where a class is left too small.
    """
    entry_of = {entry.path: entry for entry in pool.entries}
    rejections = list(pool.rejections)
    known = {rejection.path for rejection in rejections}  # a list may name what has been rejected already
    rejections += [_with_size(found, entry_of) for found in labelled.rejections if found.path not in known]
    items, entries, unreadable = [], [], []
    for item in expected.items:
        entry = entry_of[item.path]
        if not entry.tried:
            raise ContainerError(
                f"{item.path} is in the sample of its class, but no instance has tried it: with lists of labels and "
                "several instances, pack all images (ImagesPerClass 0), or use one instance"
            )
        if entry.reason:
            unreadable.append(Rejection(path=entry.path, reason=entry.reason, size=entry.size))
        else:
            items.append(item)
            entries.append(entry)
    rejections = sorted([*rejections, *unreadable], key=lambda rejection: os.fsencode(rejection.path))
    # Of a sample only the images that were tried count: the share of all others is not known.
    counted = unreadable if settings.images_per_class else rejections
    _check_rejections(counted, len(items) + len(counted), settings)
    exact = exact_sets(entries)
    as_expected = len(items) == len(expected.items) and len(set(exact)) == len(items)
    return Division(
        items=items,
        entries=entries,
        splits=expected.splits if as_expected else _splits(items, labelled, settings, exact=exact),
        duplicates=find_duplicates(entries, exact),
        rejections=rejections,
    )


def _splits(items: Sequence[Item], labelled: Labelled, settings: Settings, *, exact: Sequence[int] | None) -> list[str]:
    """Return the split of each item; ``exact`` numbers the sets of equal images, None where none are known."""
    given = labelled.given_splits
    shares = _missing_shares(settings.fractions, given)
    free = [position for position, item in enumerate(items) if not given or item.split == "train"]
    chosen = [items[position] for position in free]
    groups = group_names(chosen, settings.group_by)
    numbers = joined(groups, [exact[position] for position in free]) if exact else joined(groups)
    if labelled.label_width == 1:
        names = _class_of_stratum(chosen, labelled.classes)
        check_sizes(chosen, clusters=numbers, fractions=shares, names=names)
    # Without groups, the hash order of the images is that of the clusters.
    keys = [order_key(group, settings.seed) for group in groups] if settings.group_by else range(len(chosen))
    splits = [item.split or "" for item in items]
    for position, split in zip(free, assign(chosen, clusters=numbers, keys=keys, fractions=shares), strict=True):
        splits[position] = split
    return splits


def _missing_shares(fractions: Mapping[str, Fraction], given: set[str]) -> dict[str, Fraction]:
    """Return the shares by which the free images are divided: those of a given split are not divided again."""
    shares = {split: Fraction(0) if split in given else fractions[split] for split in ("validation", "test")}
    return {"train": 1 - sum(shares.values(), Fraction(0)), **shares}


def _class_of_stratum(items: Sequence[Item], classes: Sequence[str]) -> dict[str, str]:
    """Return the class name of each stratum, in label order; a class without a single image is there too."""
    named = {item.stratum: int(item.labels[0]) for item in items}
    missing = set(range(len(classes))) - set(named.values())
    numbered = {**named, **{f"\0{number}": number for number in missing}}
    return {stratum: classes[number] for stratum, number in sorted(numbered.items(), key=lambda pair: pair[1])}


def _with_size(rejection: Rejection, entry_of: Mapping[str, Entry]) -> Rejection:
    """Return a rejection with its file's size, where there is such a file."""
    entry = entry_of.get(rejection.path)
    return rejection if entry is None else Rejection(path=rejection.path, reason=rejection.reason, size=entry.size)


def _check_rejections(rejections: Sequence[Rejection], total: int, settings: Settings) -> None:
    allowed = settings.max_rejected_fraction
    if not rejections or len(rejections) <= allowed * total:
        return
    named = "; ".join(f"{rejection.path}: {rejection.reason}" for rejection in rejections[:NAMED_IN_ERROR])
    more = f"; and {len(rejections) - NAMED_IN_ERROR} more" if len(rejections) > NAMED_IN_ERROR else ""
    raise ContainerError(
        f"{len(rejections)} of {total} images cannot be used, more than a rejected share of {allowed} allows: "
        f"{named}{more}; repair or remove them, or raise the share"
    )
