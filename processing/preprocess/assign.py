"""Which image goes where: a seeded, stratified split that is exact in every class and keeps groups together."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

from common.contract import ContainerError
from preprocess.label import Item
from preprocess.settings import SPLITS

# The first images of a class are tested, the next validate, the rest train: a change of the validation share leaves the
# test images alone, but for one image where the counts round differently.
FILLING_ORDER = ("test", "validation", "train")

# What orders clusters: hashes, or positions in hash order.
Key: TypeAlias = Any


def order_key(text: str, seed: int) -> bytes:
    """Return what an image or group is ordered by: a hash of seed and name, so no file order or clock has a say."""
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="surrogateescape")).digest()


def in_hash_order(items: Sequence[Item], seed: int) -> list[Item]:
    """Return the images in their seeded shuffled order, classes mixed."""
    return sorted(items, key=lambda item: (order_key(item.path, seed), item.path))


def sample(items: Sequence[Item], *, images_per_class: int) -> list[Item]:
    """Keep the first ``images_per_class`` of each class (and given split) in this order, all for 0."""
    if images_per_class == 0:
        return list(items)
    taken: dict[tuple[str, str | None], int] = defaultdict(int)
    kept = []
    for item in items:
        place = (item.stratum, item.split)
        if taken[place] < images_per_class:
            taken[place] += 1
            kept.append(item)
    return kept


def group_names(items: Sequence[Item], pattern: str) -> list[str]:
    """Return each item's group: what the pattern's groups match in its path, all of the match, or the path itself.

    ContainerError where a pattern matches no path at all.
    """
    if not pattern:
        return [item.path for item in items]
    search = re.compile(pattern).search
    matches = [search(item.path) for item in items]
    if items and not any(matches):
        raise ContainerError(
            f"--group-by {pattern!r} matches no image, for instance not {items[0].path!r}: it is searched in the path "
            "below the data folder, CLASS/NAME; name the group in parentheses"
        )
    return [
        # The mark keeps a group apart from a file of the same name.
        f"\0{chr(0).join(part or '' for part in match.groups()) or match[0]}" if match else item.path
        for item, match in zip(items, matches, strict=True)
    ]


def split_counts(total: int, fractions: Mapping[str, Fraction]) -> dict[str, int]:
    """Divide ``total`` images by largest remainder (ties: train, validation, test).

    A split with a share above 0 gets at least one image, taken from the largest, while there are enough.
    """
    wanted = [split for split in SPLITS if fractions[split] > 0]
    counts = {split: int(fractions[split] * total) for split in SPLITS}
    by_remainder = sorted(SPLITS, key=lambda split: counts[split] - fractions[split] * total)
    for split in by_remainder[: total - sum(counts.values())]:
        counts[split] += 1
    for split in wanted if total >= len(wanted) else ():
        if counts[split] == 0:
            counts[max(SPLITS, key=lambda other: counts[other])] -= 1
            counts[split] = 1
    return counts


@dataclass(kw_only=True)
class _Cluster:
    """Images that must stay together: positions of its items, and how many each stratum has of them."""

    key: Key
    members: list[int] = field(default_factory=list)
    strata: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def assign(
    items: Sequence[Item], *, clusters: Sequence[int], keys: Sequence[Key], fractions: Mapping[str, Fraction]
) -> list[str]:
    """Return the split of each item; items of one cluster number share one.

    ``keys`` orders the clusters, by the least key among a cluster's items. A stratum's counts are those of
    `split_counts` where no cluster is larger than one image, and where no cluster spans strata within one cluster of
    them. No wanted split stays empty for a stratum as far as there are clusters for it, see `check_sizes`.
    """
    wanted = [split for split in SPLITS if fractions[split] > 0]
    if len(wanted) == 1:
        return wanted * len(items)
    totals: dict[str, int] = defaultdict(int)
    for item in items:
        totals[item.stratum] += 1
    room = {stratum: split_counts(total, fractions) for stratum, total in totals.items()}
    placed: dict[str, list[_Cluster]] = {split: [] for split in SPLITS}
    for cluster in _clusters(items, clusters, keys):
        split = _choose(cluster, room, wanted)
        placed[split].append(cluster)
        for stratum, count in cluster.strata.items():
            room[stratum][split] -= count
    _fill_empty(placed, wanted)
    result = [""] * len(items)
    for split, members in placed.items():
        for cluster in members:
            for position in cluster.members:
                result[position] = split
    return result


def _clusters(items: Sequence[Item], numbers: Sequence[int], keys: Sequence[Key]) -> list[_Cluster]:
    """Return the clusters in the order of their keys, those that span strata first: they are the hardest to place."""
    found: dict[int, _Cluster] = {}
    for position, (item, number, key) in enumerate(zip(items, numbers, keys, strict=True)):
        cluster = found.get(number)
        if cluster is None:
            cluster = found[number] = _Cluster(key=key)
        cluster.key = min(cluster.key, key)
        cluster.members.append(position)
        cluster.strata[item.stratum] += 1
    return sorted(found.values(), key=lambda cluster: (len(cluster.strata) == 1, cluster.key))


def _choose(cluster: _Cluster, room: Mapping[str, Mapping[str, int]], wanted: Sequence[str]) -> str:
    """Return the first wanted split with room for all of a cluster, else the one that it overfills least."""

    def excess(split: str) -> int:
        return sum(max(0, count - room[stratum][split]) for stratum, count in cluster.strata.items())

    return min((split for split in FILLING_ORDER if split in wanted), key=excess)


def _fill_empty(placed: dict[str, list[_Cluster]], wanted: Sequence[str]) -> None:
    """Give each stratum an image in every wanted split, as far as that empties no other split of any stratum.

    What moves is the cluster of the fewest strata and images. A split without any image at all gets one even so.
    """
    count: Counter[tuple[str, str]] = Counter(
        (split, stratum) for split, clusters in placed.items() for cluster in clusters for stratum in cluster.strata
    )
    for stratum in sorted({stratum for _, stratum in count}):
        for split in wanted:
            if count[split, stratum] == 0:
                spare = [
                    (donor, cluster)
                    for donor in wanted
                    for cluster in placed[donor]
                    if stratum in cluster.strata and all(count[donor, other] > 1 for other in cluster.strata)
                ]
                _move_smallest(spare, split, placed, count)
    for split in wanted:
        if not placed[split]:
            donor = max(wanted, key=lambda other: len(placed[other]))
            spare = [(donor, cluster) for cluster in placed[donor]] if len(placed[donor]) > 1 else []
            _move_smallest(spare, split, placed, count)


def _move_smallest(
    spare: Sequence[tuple[str, _Cluster]],
    split: str,
    placed: dict[str, list[_Cluster]],
    count: Counter[tuple[str, str]],
) -> None:
    if not spare:
        return  # `check_sizes` has refused this where it matters
    donor, cluster = min(spare, key=lambda pair: (len(pair[1].strata), len(pair[1].members), pair[1].key))
    placed[donor].remove(cluster)
    placed[split].append(cluster)
    count.subtract((donor, stratum) for stratum in cluster.strata)
    count.update((split, stratum) for stratum in cluster.strata)


def check_sizes(
    items: Sequence[Item], *, clusters: Sequence[int], fractions: Mapping[str, Fraction], names: Mapping[str, str]
) -> None:
    """Raise ContainerError for a class that has fewer images, or clusters of images, than there are wanted splits.

    ``names`` maps a stratum to its class name; strata without a name may be small.
    """
    wanted = [split for split in SPLITS if fractions[split] > 0]
    counted: dict[str, int] = defaultdict(int)
    separate: dict[str, set[int]] = defaultdict(set)
    for item, number in zip(items, clusters, strict=True):
        counted[item.stratum] += 1
        separate[item.stratum].add(number)
    for stratum, name in names.items():
        total, apart = counted[stratum], len(separate[stratum])
        if apart >= len(wanted):
            continue
        images = f"{total} usable image{'' if total == 1 else 's'}"
        if apart < total:
            images += f" in {apart} group{'' if apart == 1 else 's'} (copies and --group-by keep images together)"
        raise ContainerError(
            f"class {name!r} has {images}, at least {len(wanted)} are needed for {', '.join(wanted)}: add images, "
            "leave the class out, or set a split's fraction to 0"
        )
