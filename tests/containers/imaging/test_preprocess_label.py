"""Labels and given splits: from class folders, from split folders, from lists; what is wrong is named."""

import tracemalloc

import pytest

from common.contract import ContainerError
from common.lists import ListRow, escape_path
from preprocess.label import Labelled, label


def by_folders(*paths: str) -> Labelled:
    return label(paths, lists={}, names=None, where="data")


def by_lists(paths: list[str], names: bytes | None = None, **lists: list[tuple[tuple[float, ...], str]]) -> Labelled:
    """Label ``paths`` with lists of (labels, path), whose names go without their suffix."""
    rows = {
        f"{name}.lst": [ListRow(id_, labels, path) for id_, (labels, path) in enumerate(content)]
        for name, content in lists.items()
    }
    return label(paths, lists=rows, names=names, where="data")


def labels_of(found: Labelled) -> dict[str, tuple[float, ...]]:
    return {item.path: item.labels for item in found.items}


def splits_of(found: Labelled) -> dict[str, str | None]:
    return {item.path: item.split for item in found.items}


def test_classes_are_sorted_by_code_point() -> None:
    found = by_folders("b/1.png", "Zebra/1.png", "ä/1.png", "a10/1.png", "a2/deep/er/1.png")
    assert found.classes == ["Zebra", "a10", "a2", "b", "ä"]
    assert {path.split("/")[0]: labels for path, labels in labels_of(found).items()} == {
        name: (float(number),) for number, name in enumerate(found.classes)
    }
    assert found.given_splits == set()
    assert found.label_width == 1


def test_an_image_outside_the_class_folders_is_rejected_not_lost() -> None:
    found = by_folders("a/1.png", "b/1.png", "stray.png")
    assert [(rejection.path, rejection.reason) for rejection in found.rejections] == [
        ("stray.png", "lies outside the class folders")
    ]
    assert sorted(labels_of(found)) == ["a/1.png", "b/1.png"]


def test_too_few_classes_name_what_is_there() -> None:
    with pytest.raises(
        ContainerError, match=r"data needs at least 2 class folders with images, found none: one folder"
    ):
        by_folders("1.png")
    with pytest.raises(ContainerError, match=r"found only 'cat': one folder of images per class$"):
        by_folders("cat/1.png")
    with pytest.raises(ContainerError, match="it holds 2 folders itself, so perhaps data/images is meant"):
        by_folders("images/cat/1.png", "images/dog/1.png")


def test_names_that_cannot_be_printed_are_shown_escaped() -> None:
    found = by_folders("a\nb/1.png", "\udcff/1.png", "\U0001f600 é/1.png")
    assert found.classes == ["a\\nb", "\\udcff", "\U0001f600 é"]
    with pytest.raises(ContainerError, match=r"two classes are called 'a\\\\nb': rename one of them"):
        by_folders("a\nb/1.png", "a\\nb/1.png")


@pytest.mark.parametrize("name", ["valid", "validation", "val"])
def test_split_folders_are_taken_as_they_are(name: str) -> None:
    found = by_folders("train/cat/1.png", "train/dog/1.png", f"{name}/cat/x/2.png", "test/dog/3.png")
    assert found.classes == ["cat", "dog"]
    assert splits_of(found) == {
        "train/cat/1.png": "train",
        "train/dog/1.png": "train",
        f"{name}/cat/x/2.png": "validation",
        "test/dog/3.png": "test",
    }
    assert found.given_splits == {"train", "validation", "test"}


def test_a_class_of_one_split_only_counts_for_all() -> None:
    found = by_folders("train/a/1.png", "train/c/1.png", "test/b/1.png", "test/c/2.png")
    assert found.classes == ["a", "b", "c"]
    assert labels_of(found)["test/b/1.png"] == (1.0,)
    assert labels_of(found)["train/c/1.png"] == labels_of(found)["test/c/2.png"] == (2.0,)


@pytest.mark.parametrize(
    "paths",
    [
        ("train/1.png", "plane/1.png"),  # a class named train beside another
        ("train/x/1.png", "plane/x/1.png"),
        ("train/x/1.png", "test/x/1.png", "plane/1.png"),
        ("train/1.png", "test/1.png"),  # two classes: no class folders in them
        ("validation/a/1.png", "test/a/1.png"),  # nothing to train on
    ],
)
def test_classes_may_be_named_like_splits(paths: tuple[str, ...]) -> None:
    found = by_folders(*paths)
    assert found.classes == sorted({path.split("/")[0] for path in paths})
    assert found.given_splits == set()


def test_a_train_folder_alone_is_no_data_set() -> None:
    with pytest.raises(ContainerError, match="perhaps data/train is meant"):
        by_folders("train/cat/1.png", "train/dog/1.png")


@pytest.mark.parametrize("stray", ["train/stray.png", "test/stray.png", "stray.png"])
def test_an_image_beside_the_class_folders_does_not_make_classes_of_the_splits(stray: str) -> None:
    """A single file must not turn a data set of cats and dogs into one of the classes train and test."""
    found = by_folders("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png", stray)
    assert found.classes == ["cat", "dog"]
    assert [rejection.path for rejection in found.rejections] == [stray]


def test_class_folders_in_train_alone_are_an_error() -> None:
    """As where the images of a test set have no labels: they are no class called test."""
    with pytest.raises(ContainerError, match=r"train holds class folders, but data/test holds images without a class"):
        by_folders("train/cat/1.png", "train/dog/1.png", "test/1.png")


def test_a_single_list_labels_and_leaves_the_split_open() -> None:
    found = by_lists(
        ["x/1.png", "x/2.png", "x/3.png"], b'["no", "yes"]', anything=[((1.0,), "x/1.png"), ((0.0,), "x/2.png")]
    )
    assert labels_of(found) == {"x/1.png": (1.0,), "x/2.png": (0.0,)}
    assert splits_of(found) == {"x/1.png": None, "x/2.png": None}
    assert found.classes == ["no", "yes"]
    assert found.ignored == ["x/3.png"]
    assert [item.stratum for item in found.items] == ["1", "0"]


def test_a_single_list_named_like_a_split_is_divided() -> None:
    found = by_lists(["1.png", "2.png"], train=[((1.0,), "1.png"), ((0.0,), "2.png")])
    assert found.given_splits == set()
    assert found.classes == ["0", "1"]


@pytest.mark.parametrize("name", ["valid", "validation", "val", "Val"])
def test_lists_named_like_splits_give_the_splits(name: str) -> None:
    lists = {"train": [((1.0,), "1.png"), ((0.0,), "2.png")], name: [((1.0,), "3.png")], "test": [((0.0,), "4.png")]}
    found = by_lists([f"{number}.png" for number in range(1, 5)], **lists)
    assert splits_of(found) == {"1.png": "train", "2.png": "train", "3.png": "validation", "4.png": "test"}


@pytest.mark.parametrize("names", [("train", "more"), ("valid", "val"), ("a", "b")])
def test_several_lists_must_be_those_of_splits(names: tuple[str, str]) -> None:
    lists = {name: [((float(number),), f"{number}.png")] for number, name in enumerate(names)}
    with pytest.raises(ContainerError, match=r"give a single list, or train\.lst with validation\.lst and test\.lst"):
        by_lists(["0.png", "1.png"], **lists)


def test_unusual_names_are_found_escaped_or_not() -> None:
    names = ["tab\there.png", "%09.png", "100%.png", "\udcff.png", "new\nline.png"]
    ours = [((float(number % 2),), escape_path(name)) for number, name in enumerate(names)]
    assert labels_of(by_lists(names, x=ours)) == {name: (float(n % 2),) for n, name in enumerate(names)}
    # im2rec escapes nothing: a file of that very name comes first.
    assert labels_of(by_lists(["%09.png", "a.png"], x=[((0.0,), "%09.png"), ((1.0,), "a.png")])) == {
        "%09.png": (0.0,),
        "a.png": (1.0,),
    }


def test_listed_files_that_are_not_there_are_rejected() -> None:
    found = by_lists(
        ["1.png", "2.png"],
        x=[
            ((0.0,), "1.png"),
            ((1.0,), "2.png"),
            ((1.0,), "gone.png"),
            ((1.0,), "../secret.png"),
            ((0.0,), "/etc/x.png"),
        ],
    )
    assert {rejection.path: rejection.reason for rejection in found.rejections} == {
        "gone.png": "x.lst names it, but there is no image file of that name",
        "../secret.png": "x.lst names a file outside the data folder",
        "/etc/x.png": "x.lst names a file outside the data folder",
    }


def test_a_file_that_is_listed_twice_is_an_error() -> None:
    with pytest.raises(ContainerError, match=r"'1\.png' is listed twice, the second time in train\.lst: keep one line"):
        by_lists(["1.png", "2.png"], test=[((0.0,), "1.png")], train=[((1.0,), "1.png"), ((0.0,), "2.png")])
    with pytest.raises(ContainerError, match="listed twice"):
        by_lists(["a\tb.png"], x=[((0.0,), "a%09b.png"), ((0.0,), "a%09b.png")])


def test_several_labels_per_image() -> None:
    found = by_lists(
        ["1.png", "2.png"], b'["sky", "sea", "sun"]', x=[((1.0, 0.0, 1.0), "1.png"), ((0.0, 0.5, 0.0), "2.png")]
    )
    assert found.label_width == 3
    assert found.classes == ["sky", "sea", "sun"]
    assert labels_of(found) == {"1.png": (1.0, 0.0, 1.0), "2.png": (0.0, 0.5, 0.0)}


def test_combinations_of_labels_are_balanced_where_they_are_common() -> None:
    combinations = [(1.0, 0.0)] * 10 + [(0.0, 1.0)] * 12 + [(1.0, 1.0)] * 9
    paths = [f"{number}.png" for number in range(len(combinations))]
    found = by_lists(paths, x=list(zip(combinations, paths, strict=True)))
    assert [item.stratum for item in found.items] == ["1 0"] * 10 + ["0 1"] * 12 + [""] * 9


@pytest.mark.parametrize(
    ("labels", "shown"), [([0, 2], "0, 2"), ([1, 2], "1, 2"), ([0, 0], "0"), ([0, 0.5], "0, 0.5"), ([-1, 0], "-1, 0")]
)
def test_labels_must_number_the_classes(labels: list[float], shown: str) -> None:
    rows = [((float(number),), f"{position}.png") for position, number in enumerate(labels)]
    with pytest.raises(ContainerError, match=f"the lists use the labels {shown}: classes are numbered 0, 1, 2, ... "):
        by_lists(["0.png", "1.png"], x=rows)


def test_an_absurd_label_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ContainerError, match="without a gap"):
            by_lists(["0.png", "1.png"], x=[((0.0,), "0.png"), ((2e5,), "1.png")])
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_lists_without_rows_or_of_two_widths() -> None:
    with pytest.raises(ContainerError, match=r"the lists x\.lst need rows"):
        by_lists(["0.png"], x=[])
    with pytest.raises(ContainerError, match=r"the lists test\.lst, train\.lst need rows, and equally many labels"):
        by_lists(["0.png", "1.png"], train=[((0.0,), "0.png")], test=[((0.0, 1.0), "1.png")])
    with pytest.raises(ContainerError, match="the labels of no image"):
        by_lists(["0.png"], x=[((0.0,), "gone.png")])


@pytest.mark.parametrize("names", [b'["a"]', b'["a", "b", "c"]', b'{"a": 0, "b": 1}', b'["a", 1]'])
def test_names_must_be_one_for_each_label(names: bytes) -> None:
    rows = [((0.0,), "0.png"), ((1.0,), "1.png")]
    with pytest.raises(ContainerError, match=r"data/labels\.json must be a list of 2 class names, one for each label"):
        by_lists(["0.png", "1.png"], names, x=rows)


@pytest.mark.parametrize("names", [b"[", b"\xff\xfe\xff", b""])
def test_names_that_are_no_json(names: bytes) -> None:
    with pytest.raises(ContainerError, match=r"data/labels\.json is not JSON"):
        by_lists(["0.png", "1.png"], names, x=[((0.0,), "0.png"), ((1.0,), "1.png")])


def test_names_play_no_role_without_a_list() -> None:
    assert label(["a/1.png", "b/1.png"], lists={}, names=b"[", where="data").classes == ["a", "b"]


def test_the_order_of_paths_has_no_say() -> None:
    paths = ["train/b/1.png", "test/a/2.png", "train/a/3.png", "val/b/4.png"]
    forwards, backwards = by_folders(*paths), by_folders(*reversed(paths))
    assert forwards.classes == backwards.classes
    assert sorted(forwards.items) == sorted(backwards.items)
