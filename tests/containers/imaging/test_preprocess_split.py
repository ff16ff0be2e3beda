"""Scanning and splitting: class order, exact shares, seeds, and what is too small."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from pictures import settings

from common.contract import ContainerError
from preprocess.scan import Item, scan
from preprocess.settings import parse_arguments
from preprocess.split import SPLITS, in_hash_order, sample_per_class, split_counts, split_items

MakeFolder = Callable[..., Path]


def items(**counts: int) -> list[Item]:
    return [
        Item(path=f"{name}/{number}.png", label=label)
        for label, (name, count) in enumerate(counts.items())
        for number in range(count)
    ]


@pytest.mark.parametrize("total", [3, 4, 5, 7, 10, 11, 99, 100, 178, 1000])
@pytest.mark.parametrize(("validation", "test"), [("0.1", "0.1"), ("0.2", "0.05"), ("0.333", "0.333"), ("0", "0.5")])
def test_largest_remainder(total: int, validation: str, test: str) -> None:
    shares = {"validation": Fraction(validation), "test": Fraction(test)}
    shares["train"] = 1 - sum(shares.values())
    counts = split_counts(total, shares, name="x")
    assert sum(counts.values()) == total
    for split in SPLITS:
        exact = shares[split] * total
        assert counts[split] >= (1 if shares[split] else 0)
        assert abs(counts[split] - exact) < 1 or exact < 1 or min(counts.values()) == 1


def test_decimal_shares_are_exact() -> None:
    shares = {"train": Fraction("0.4"), "validation": Fraction("0.3"), "test": Fraction("0.3")}
    assert split_counts(10, shares, name="x") == {"train": 4, "validation": 3, "test": 3}


def test_a_split_is_stratified_disjoint_and_complete() -> None:
    ordered = in_hash_order(items(a=50, b=20, c=7), seed=3)
    splits = split_items(ordered, classes=["a", "b", "c"], validation_fraction=0.2, test_fraction=0.1)
    assert {split: dict(sorted(Counter(item.label for item in found).items())) for split, found in splits.items()} == {
        "train": {0: 35, 1: 14, 2: 5},
        "validation": {0: 10, 1: 4, 2: 1},
        "test": {0: 5, 1: 2, 2: 1},
    }
    paths = [item.path for found in splits.values() for item in found]
    assert sorted(paths) == sorted(item.path for item in ordered)
    assert [item.label for item in splits["train"]] != sorted(item.label for item in splits["train"])


def test_seed_and_nothing_else_decides() -> None:
    found = items(a=30, b=30)
    assert in_hash_order(found, 1) == in_hash_order(reversed(found), 1)
    assert in_hash_order(found, 1) != in_hash_order(found, 2)


def test_the_validation_share_leaves_the_test_images_alone() -> None:
    ordered = in_hash_order(items(a=50, b=50), 0)
    first, second = (
        split_items(ordered, classes=["a", "b"], validation_fraction=share, test_fraction=0.2)["test"]
        for share in (0.1, 0.3)
    )
    assert first == second


def test_sample_of_a_class_is_seeded_and_a_smaller_class_stays_whole() -> None:
    ordered = in_hash_order(items(a=50, b=5), 0)
    sampled = sample_per_class(ordered, images_per_class=8)
    assert Counter(item.label for item in sampled) == {0: 8, 1: 5}
    assert sample_per_class(ordered, images_per_class=0) == ordered


def test_too_few_images_name_the_class_and_the_way_out() -> None:
    with pytest.raises(ContainerError, match=r"class 'b' has 2 usable images, at least 3 .*fraction to 0"):
        split_items(items(a=9, b=2), classes=["a", "b"], validation_fraction=0.1, test_fraction=0.1)
    splits = split_items(items(a=9, b=2), classes=["a", "b"], validation_fraction=0, test_fraction=0.1)
    assert Counter(item.label for item in splits["train"])[1] == 1


def test_classes_are_sorted_by_code_point_and_hidden_names_skipped(make_folder: MakeFolder) -> None:
    root = make_folder(b=1, Zebra=1, ä=1, a10=1, a2=1)
    (root / ".git").mkdir()
    (root / "b" / ".hidden.png").write_bytes(b"x")
    (root / "b" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    listing = scan(root)
    assert listing.classes == ["Zebra", "a10", "a2", "b", "ä"]
    assert sorted(item.path for item in listing.items) == sorted(f"{name}/000.png" for name in listing.classes)
    assert sorted(listing.ignored) == ["README.md", "b/notes.txt"]
    assert listing.rejections == []


def test_every_accepted_suffix_and_deeper_folders(make_folder: MakeFolder) -> None:
    root = make_folder(a=1, b=1)
    picture = (root / "a/000.png").read_bytes()
    (root / "a/more").mkdir()
    for name in ("x.JPG", "y.jpeg", "z.Png", "more/w.jpg"):
        (root / "a" / name).write_bytes(picture)
    assert sorted(item.path for item in scan(root).items if item.label == 0) == [
        "a/000.png",
        "a/more/w.jpg",
        "a/x.JPG",
        "a/y.jpeg",
        "a/z.Png",
    ]


def test_images_that_cannot_be_used_are_not_lost(make_folder: MakeFolder) -> None:
    root = make_folder(a=1, b=1)
    for name in ("a/x.gif", "stray.jpg", "b/new\nline.png"):
        (root / name).write_bytes(b"12")
    reasons = {rejection.path: rejection.reason for rejection in scan(root).rejections}
    assert sorted(reasons) == ["a/x.gif", "b/new\nline.png", "stray.jpg"]
    assert "outside the class folders" in reasons["stray.jpg"]
    assert "convert it to jpg or png" in reasons["a/x.gif"]


def test_missing_empty_and_single_class_folders(tmp_path: Path, make_folder: MakeFolder) -> None:
    with pytest.raises(ContainerError, match="does not exist"):
        scan(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContainerError, match="at least 2 class folders, found none"):
        scan(tmp_path / "empty")
    with pytest.raises(ContainerError, match="at least 2 class folders, found only 'cat'"):
        scan(make_folder(cat=3))


def test_settings_contradict_each_other() -> None:
    with pytest.raises(ContainerError, match="--resize 8 is smaller than --image-size 16"):
        settings(resize=8)
    with pytest.raises(ContainerError, match="must be below 1"):
        settings(validation_fraction=0.5, test_fraction=0.5)


def test_arguments_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTING_HASH", "ab" * 32)
    parsed = parse_arguments(["--image-size", "32", "--validation-fraction", "0.2", "--record-format", "png"])
    assert (parsed.image_size, parsed.resize, parsed.validation_fraction) == (32, 32, 0.2)
    assert (parsed.record_format, parsed.listing_hash, parsed.quality) == ("png", "ab" * 32, 95)
    with pytest.raises(ContainerError, match=r"--quality.*1 to 100"):
        parse_arguments(["--quality", "0"])
    with pytest.raises(ContainerError, match=r"--record-format.*jpg"):
        parse_arguments(["--record-format", "gif"])
