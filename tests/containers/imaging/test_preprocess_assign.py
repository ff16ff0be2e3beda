"""Splits: exact in every class, the same for the same paths and seed, and no group in two of them."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from pictures import settings

from common.contract import ContainerError
from preprocess.assign import assign, group_names, in_hash_order, order_key, sample, split_counts
from preprocess.divide import Expectation, expect
from preprocess.label import Item, label
from preprocess.settings import SPLITS
from preprocess.walk import walk

Shares = dict[str, Fraction]
SHARES = [
    ("0.8", "0.1", "0.1"),
    ("0.6", "0.2", "0.2"),
    ("0.34", "0.33", "0.33"),
    ("0.9", "0", "0.1"),
    ("0", "0.5", "0.5"),
]
SEEDS = range(60)


def shares(train: str, validation: str, test: str) -> Shares:
    return dict(zip(SPLITS, map(Fraction, (train, validation, test)), strict=True))


def paths(**counts: int) -> list[str]:
    return [f"{name}/{number}.png" for name, count in counts.items() for number in range(count)]


def divided(found: Iterable[str], **changes: object) -> dict[str, str]:
    """Return the split of every path that is used."""
    return by_path(expect(label(found, lists={}, names=None, where="data"), settings(**changes)))


def by_path(expectation: Expectation) -> dict[str, str]:
    return dict(zip((item.path for item in expectation.items), expectation.splits, strict=True))


def count(found: dict[str, str]) -> dict[str, dict[str, int]]:
    """Return how many images each class has in each split."""
    counted: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for path, split in found.items():
        counted[path.split("/")[0]][split] += 1
    return dict(counted)


def test_largest_remainder_by_hand() -> None:
    assert split_counts(10, shares("0.4", "0.3", "0.3")) == {"train": 4, "validation": 3, "test": 3}
    assert split_counts(99, shares("0.8", "0.1", "0.1")) == {"train": 79, "validation": 10, "test": 10}
    assert split_counts(7, shares("0.5", "0.25", "0.25")) == {"train": 3, "validation": 2, "test": 2}
    assert split_counts(2, shares("0.5", "0", "0.5")) == {"train": 1, "validation": 0, "test": 1}
    # Ties go to train first; and nobody with a share goes without.
    assert split_counts(5, shares("0.5", "0.5", "0")) == {"train": 3, "validation": 2, "test": 0}
    assert split_counts(3, shares("0.98", "0.01", "0.01")) == {"train": 1, "validation": 1, "test": 1}
    assert split_counts(2, shares("0.98", "0.01", "0.01")) == {"train": 2, "validation": 0, "test": 0}


@pytest.mark.parametrize("share", SHARES)
def test_largest_remainder_for_every_total(share: tuple[str, str, str]) -> None:
    wanted = shares(*share)
    for total in [*range(120), 178, 999, 1000]:
        counts = split_counts(total, wanted)
        assert sum(counts.values()) == total
        assert all(counts[split] == 0 for split in SPLITS if wanted[split] == 0)
        if total >= sum(wanted[split] > 0 for split in SPLITS):
            assert all(counts[split] for split in SPLITS if wanted[split])
        quotas = {split: wanted[split] * total for split in SPLITS}
        if all(int(quotas[split]) for split in SPLITS if wanted[split]):
            assert all(0 <= counts[split] - int(quotas[split]) <= 1 for split in SPLITS)
            up = [quotas[split] % 1 for split in SPLITS if counts[split] > int(quotas[split])]
            down = [quotas[split] % 1 for split in SPLITS if counts[split] == int(quotas[split])]
            assert not up or not down or min(up) >= max(down)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [("0.1", "0.1"), ("0.2", "0.05"), ("0.333", "0.333"), ("0", "0.5"), ("0.5", "0")])
def test_every_class_is_split_exactly(seed: int, share: tuple[str, str]) -> None:
    sizes = {"a": 50, "b": 20, "c": 7, "d": 333, "e": 3}
    validation, test = map(float, share)
    found = divided(paths(**sizes), validation_fraction=validation, test_fraction=test, seed=seed)
    exact = shares(str(1 - Fraction(share[0]) - Fraction(share[1])), *share)
    assert count(found) == {name: split_counts(size, exact) for name, size in sizes.items()}
    assert sorted(found) == sorted(paths(**sizes))


def test_records_of_all_classes_are_mixed() -> None:
    found = [path[0] for path, split in divided(paths(a=100, b=100)).items() if split == "train"]
    changes = sum(one != other for one, other in pairwise(found))
    assert 30 < changes < 90


@pytest.mark.parametrize("group_by", ["", r"(\d+)\d\.png"])
def test_seed_and_nothing_else_decides(group_by: str) -> None:
    found = paths(a=60, b=60, c=60)
    first = divided(found, group_by=group_by)
    for seed in range(5):
        shuffled = random.Random(seed).sample(found, len(found))
        assert list(divided(shuffled, group_by=group_by).items()) == list(first.items())
    assert divided(found, group_by=group_by, seed=1) != first


def test_the_order_is_pinned() -> None:
    """Other hashes would move images between the splits of everybody's data sets."""
    assert order_key("cat/1.png", 7).hex()[:16] == "6a938c6b88a46e84"
    assert order_key("\udcff", 0) != order_key("?", 0)


def test_an_added_image_moves_few_others() -> None:
    before = divided(paths(a=200, b=200))
    after = divided(paths(a=201, b=200))
    assert sum(after[path] != split for path, split in before.items()) <= 3


def test_the_validation_share_leaves_the_test_images_alone() -> None:
    tested = [
        {path for path, split in divided(paths(a=50, b=70), validation_fraction=share).items() if split == "test"}
        for share in (0.0, 0.1, 0.3, 0.7)
    ]
    assert tested[0] == tested[1] == tested[2] == tested[3]


def test_of_two_test_sets_one_holds_the_other_where_rounding_differs() -> None:
    """Exact shares of all three cannot keep the test images the same to the last: rounding may give or take one."""
    for total in range(10, 60):
        sets = [
            {path for path, split in divided(paths(a=total, b=90), validation_fraction=v).items() if split == "test"}
            for v in (0.05, 0.17, 0.33, 0.5)
        ]
        smallest = min(sets, key=len)
        assert all(smallest <= other and len(other) - len(smallest) <= 1 for other in sets)


def test_a_sample_is_seeded_and_small_classes_stay_whole() -> None:
    found = divided(paths(a=50, b=5), images_per_class=8)
    assert Counter(path[0] for path in found) == {"a": 8, "b": 5}
    assert set(found) <= set(divided(paths(a=50, b=5), images_per_class=20))
    assert set(found) != set(divided(paths(a=50, b=5), images_per_class=8, seed=1))
    items = [Item("1", (0.0,), "0"), Item("2", (1.0,), "1"), Item("3", (0.0,), "0")]
    assert sample(items, images_per_class=0) == items


def test_a_sample_is_taken_of_every_given_split() -> None:
    found = [f"{split}/{name}/{number}.png" for split in SPLITS for name in "ab" for number in range(9)]
    assert Counter(divided(found, images_per_class=4).values()) == dict.fromkeys(SPLITS, 8)


def test_too_few_images_name_the_class_and_the_way_out() -> None:
    with pytest.raises(
        ContainerError,
        match=r"class 'b' has 2 usable images, at least 3 are needed for train, validation, test: add images, leave "
        r"the class out, or set a split's fraction to 0",
    ):
        divided(paths(a=9, b=2))
    assert count(divided(paths(a=9, b=2), validation_fraction=0.0))["b"] == {"train": 1, "validation": 0, "test": 1}


def test_too_few_groups_name_the_class_and_why() -> None:
    with pytest.raises(ContainerError, match=r"class 'a' has 9 usable images in 1 group \(copies and --group-by keep"):
        divided(paths(a=9, b=9), group_by=r"^a/|\d\.png")


# Groups


def grouped(generator: random.Random, *, spanning: bool) -> tuple[list[Item], list[int]]:
    """Return random images and the number of the group of each; a group is in one class, or in some of them."""
    classes = generator.randint(1, 4)
    largest = generator.choice([1, 2, 5, 20])
    items, numbers = [], []
    for group in range(generator.randint(3, 40)):
        for name in generator.sample(range(classes), generator.randint(1, classes) if spanning else 1):
            for number in range(generator.randint(1, largest)):
                items.append(Item(f"{name}/{group}_{number}.png", (float(name),), str(name)))
                numbers.append(group)
    return items, numbers


def assigned(items: list[Item], numbers: list[int], wanted: Shares) -> list[str]:
    return assign(items, clusters=numbers, keys=[order_key(str(number), 0) for number in numbers], fractions=wanted)


def sizes_of(items: list[Item], numbers: list[int]) -> dict[str, Counter[int]]:
    """Return the sizes of its groups for every class."""
    sizes: dict[str, Counter[int]] = defaultdict(Counter)
    for item, number in zip(items, numbers, strict=True):
        sizes[item.stratum][number] += 1
    return sizes


@pytest.mark.parametrize("spanning", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_group_is_in_two_splits(seed: int, spanning: bool) -> None:
    generator = random.Random(seed)
    items, numbers = grouped(generator, spanning=spanning)
    wanted = shares(*generator.choice(SHARES))
    splits = assigned(items, numbers, wanted)
    assert len({(number, split) for number, split in zip(numbers, splits, strict=True)}) == len(set(numbers))
    assert all(wanted[split] for split in splits)


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_are_split_exactly_to_within_one_group(seed: int) -> None:
    generator = random.Random(seed)
    items, numbers = grouped(generator, spanning=False)
    wanted = shares(*generator.choice(SHARES))
    splits = assigned(items, numbers, wanted)
    for name, sizes in sizes_of(items, numbers).items():
        exact = split_counts(sum(sizes.values()), wanted)
        found = Counter(split for item, split in zip(items, splits, strict=True) if item.stratum == name)
        needed = sum(wanted[split] > 0 for split in SPLITS)
        if len(sizes) >= needed:
            assert all(found[split] for split in SPLITS if wanted[split]), (exact, found)
        # A split that is wanted and smaller than any group takes one all the same.
        if min(exact[split] for split in SPLITS if wanted[split]) >= max(sizes.values()):
            assert all(abs(found[split] - exact[split]) <= max(sizes.values()) for split in SPLITS), (exact, found)


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_one_image_are_split_exactly(seed: int) -> None:
    generator = random.Random(seed)
    items, _ = grouped(generator, spanning=False)
    wanted = shares(*generator.choice(SHARES))
    splits = assigned(items, list(range(len(items))), wanted)
    for name, sizes in sizes_of(items, list(range(len(items)))).items():
        found = Counter(split for item, split in zip(items, splits, strict=True) if item.stratum == name)
        exact = split_counts(len(sizes), wanted)
        assert {split: found[split] for split in SPLITS} == exact


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("groups", [3, 4, 5, 8, 13])
def test_groups_that_span_all_classes_leave_no_split_empty(groups: int, share: tuple[str, str, str]) -> None:
    """As where all images of one camera or one person stay together."""
    wanted = shares(*share)
    items = [Item(f"{name}/{g}_{n}.png", (0.0,), name) for g in range(groups) for name in "abc" for n in range(10)]
    numbers = [group for group in range(groups) for _ in range(30)]
    splits = assigned(items, numbers, wanted)
    for name in "abc":
        found = {split for item, split in zip(items, splits, strict=True) if item.stratum == name}
        assert found == {split for split in SPLITS if wanted[split]}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_wanted_split_is_empty_however_groups_span_classes(seed: int) -> None:
    generator = random.Random(seed)
    items, numbers = grouped(generator, spanning=True)
    wanted = shares("0.8", "0.1", "0.1")
    assert set(assigned(items, numbers, wanted)) == set(SPLITS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_images_and_of_group_numbers_has_no_say(seed: int) -> None:
    generator = random.Random(seed)
    items, numbers = grouped(generator, spanning=True)
    wanted = shares("0.6", "0.2", "0.2")
    first = dict(zip(items, assigned(items, numbers, wanted), strict=True))
    order = generator.sample(range(len(items)), len(items))
    keys = [order_key(str(numbers[position]), 0) for position in order]
    moved = [1000 - numbers[position] for position in order]
    shuffled = [items[position] for position in order]
    assert dict(zip(shuffled, assign(shuffled, clusters=moved, keys=keys, fractions=wanted), strict=True)) == first


def test_a_split_without_a_share_gets_nothing_however_full_the_others_are() -> None:
    sizes = [{"a": 10, "b": 1}, {"a": 1, "b": 10}, {"a": 1, "b": 1}]
    items, numbers = [], []
    for number, strata in enumerate(sizes):
        for name, count in strata.items():
            items += [Item(f"{name}/{number}_{image}.png", (0.0,), name) for image in range(count)]
            numbers += [number] * count
    splits = assign(items, clusters=numbers, keys=numbers, fractions=shares("0.5", "0.5", "0"))
    assert set(splits) == {"train", "validation"}


def test_what_a_pattern_captures_names_the_group() -> None:
    items = [Item(path, (0.0,), "") for path in ("a/x_1.png", "a/x_2.png", "b/x_3.png", "b/y_4.png", "b/other.png")]

    def names(pattern: str) -> list[str]:
        return group_names(items, pattern)

    assert names("") == [item.path for item in items]
    one, two, three, four, five = names(r"/(\w)_")
    assert one == two == three != four != five
    one, two, three, four, _ = names(r"^(\w)/(\w)_")
    assert one == two != three != four
    assert names(r"^./\w_")[:2] == [names(r"^./\w_")[0]] * 2
    # A group and a file of the same name are different things.
    assert len(set(group_names([Item("a", (0.0,), ""), Item("b/a", (0.0,), "")], "/(a)"))) == 2
    assert names(r"(x)_|(y)_")[3] not in names(r"(x)_|(y)_")[:3]


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ContainerError, match=r"--group-by '\^\(track\)' matches no image") as error:
        divided(paths(a=5, b=5), group_by="^(track)")
    assert "CLASS/NAME" in str(error.value)
    with pytest.raises(ContainerError, match="is no regular expression"):
        settings(group_by="(")


@pytest.mark.parametrize("seed", range(3))
def test_no_track_of_real_signs_leaks(shared_data: Path, seed: int) -> None:
    pattern = r"^(\d+/\d+)_"
    found = divided(walk(shared_data / "gtsrb").images, group_by=pattern, seed=seed)
    assert len(found) == 1720
    tracks = defaultdict(set)
    for path, split in found.items():
        tracks[re.match(pattern, path)[1]].add(split)  # type: ignore[index]
    assert len(tracks) == 450
    assert all(len(splits) == 1 for splits in tracks.values())
    largest = {name: max(Counter(re.findall(rf"({name}/\d+)_", "\n".join(found))).values()) for name in count(found)}
    exact = split_counts(40, shares("0.6", "0.2", "0.2"))
    for name, counts in count(found).items():
        assert all(counts.values())
        assert all(abs(counts[split] - exact[split]) <= largest[name] for split in SPLITS), (name, counts)
    # Without the pattern they do leak, or this test could not fail.
    leaking = defaultdict(set)
    for path, split in divided(found, seed=seed).items():
        leaking[path.rpartition("_")[0]].add(split)
    assert sum(len(splits) > 1 for splits in leaking.values()) > 50


# Given splits


def given(**counts: dict[str, int]) -> list[str]:
    return [
        f"{split}/{name}/{n}.png"
        for split, names in counts.items()
        for name, number in names.items()
        for n in range(number)
    ]


def counts_of(found: dict[str, str]) -> Counter[tuple[str, str]]:
    return Counter((path.split("/")[0], split) for path, split in found.items())


def test_given_splits_are_taken_as_they_are() -> None:
    found = divided(given(train={"a": 5, "b": 1}, val={"a": 9, "b": 2}, test={"a": 1, "b": 30}))
    assert counts_of(found) == {("train", "train"): 6, ("val", "validation"): 11, ("test", "test"): 31}


@pytest.mark.parametrize(("name", "missing"), [("test", "validation"), ("valid", "test")])
def test_a_missing_split_is_taken_out_of_train(name: str, missing: str) -> None:
    found = divided(given(train={"a": 50, "b": 20}, **{name: {"a": 9, "b": 9}}))
    kept = "validation" if name == "valid" else name
    assert counts_of(found) == {("train", "train"): 56, ("train", missing): 14, (name, kept): 18}
    assert Counter(path.split("/")[1] for path, split in found.items() if split == missing) == {"a": 10, "b": 4}


def test_a_missing_split_of_share_zero_stays_missing() -> None:
    found = divided(given(train={"a": 5, "b": 5}, test={"a": 1, "b": 1}), validation_fraction=0.0)
    assert set(found.values()) == {"train", "test"}


def test_a_class_of_train_only_is_fine_and_one_without_train_is_named() -> None:
    found = divided(given(train={"a": 5, "b": 5, "c": 5}, valid={"a": 1}, test={"b": 1}))
    assert counts_of(found)["train", "train"] == 15
    with pytest.raises(ContainerError, match="class 'c' has 0 usable images, at least 1 are needed for train"):
        divided(given(train={"a": 5, "b": 5}, valid={"a": 1}, test={"c": 1}))


def test_groups_apply_to_what_is_taken_out_of_train() -> None:
    found = divided(given(train={"a": 40, "b": 40}, test={"a": 40, "b": 40}), group_by=r"(./\d)\d*\.png")
    tracks: Callable[[str], str] = lambda path: path[: len("train/a/1")]  # noqa: E731
    seen = {(tracks(path), split) for path, split in found.items() if path.startswith("train")}
    assert len(seen) == len({track for track, _ in seen})
    assert {split for path, split in found.items() if path.startswith("test")} == {"test"}


def test_hash_order_does_not_follow_names() -> None:
    items = [Item(f"{number:03}", (0.0,), "") for number in range(100)]
    ordered = in_hash_order(items, 0)
    assert ordered != items
    assert ordered == in_hash_order(list(reversed(items)), 0)
    assert ordered != in_hash_order(items, 1)
