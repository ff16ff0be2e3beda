"""Image files as outputs: the lists and manifests name exactly the files, and MXNet reads them from the lists."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from in_mxnet import in_mxnet
from pictures import encoded, noisy, settings

from common.contract import ContainerError
from common.lists import read_rows
from preprocess.layout import Layout
from preprocess.pack import pack
from preprocess.settings import SPLITS

MakeFolder = Callable[..., Path]
S3 = "s3://bucket/some/prefix"
ODD_NAMES = ["a\tb.png", "c\nd.png", "e%09f.png", "g h.png", "ä\U0001f600.png", "'\"\\.png", os.fsdecode(b"\xff.png")]


def packed(source: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return pack(source, Layout(root=out, flat=True), settings(**{"output": "image", **changes}))


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def listed(out: Path, split: str) -> list[str]:
    """Return the names in a list as any reader of the format sees them, which knows nothing of escapes."""
    return [row.path for row in read_rows(out / f"{split}_lst" / f"{split}.lst")]


def manifest(out: Path, split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / f"{split}.manifest").read_text(encoding="utf-8").splitlines()]


def with_odd_names(source: Path) -> Path:
    for number, name in enumerate(ODD_NAMES):
        (source / "cat" / name).write_bytes(encoded(noisy(20, 20, seed=700 + number)))
    return source


def test_lists_name_exactly_the_files(make_folder: MakeFolder, tmp_path: Path) -> None:
    dataset = packed(make_folder(cat=10, dog=20), tmp_path / "out")
    assert dataset["counts"] == {"train": 18, "validation": 6, "test": 6}
    expected = {*SPLITS, *(f"{split}_lst" for split in SPLITS)}
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == expected
    for split in SPLITS:
        assert sorted(listed(tmp_path / "out", split)) == names_below(tmp_path / "out" / split)
        rows = read_rows(tmp_path / "out" / f"{split}_lst" / f"{split}.lst")
        assert [row.id for row in rows] == list(range(dataset["counts"][split]))
        assert all(row.labels == (float(row.path.startswith("dog")),) for row in rows)


def test_images_are_those_of_the_records(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=6, dog=6)
    packed(source, tmp_path / "out", record_format="png", resize=20)
    for split in SPLITS:
        for name in listed(tmp_path / "out", split):
            found, original = cv2.imread(str(tmp_path / "out" / split / name)), cv2.imread(str(source / name))
            assert min(found.shape[:2]) == 20
            assert found.shape[0] != 20 or found.shape[1] >= 20
            assert abs(found.mean() - original.mean()) < 2


@pytest.mark.parametrize(("record_format", "expected"), [("jpg", "cat/1.bmp.jpg"), ("png", "cat/1.bmp.png")])
def test_suffixes_say_what_the_files_hold(
    make_folder: MakeFolder, tmp_path: Path, record_format: str, expected: str
) -> None:
    source = make_folder(cat=1, dog=1)
    (source / "cat/1.bmp").write_bytes(encoded(noisy(20, 20), "BMP"))
    (source / "cat/2.JPG").write_bytes(encoded(noisy(20, 20, seed=2), "JPEG"))
    packed(source, tmp_path / "out", record_format=record_format, validation_fraction=0.0, test_fraction=0.0)
    found = names_below(tmp_path / "out/train")
    assert expected in found
    suffixes = {"jpg": (".jpg", ".jpeg"), "png": (".png",)}[record_format]
    for name in found:
        start = (tmp_path / "out/train" / name).read_bytes()[:4]
        assert Path(name).suffix.lower() in suffixes
        assert start == b"\x89PNG" if record_format == "png" else start[:2] == b"\xff\xd8"


def test_names_that_would_be_the_same_stay_apart(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=1, dog=1)
    for number, name in enumerate(["x.bmp", "x.bmp.jpg", "x.bmp-1.jpg", "x.bmp-1.bmp", "x.gif", "x.gif.jpg"]):
        kind = {".bmp": "BMP", ".jpg": "JPEG", ".gif": "GIF"}[Path(name).suffix]
        (source / "cat" / name).write_bytes(encoded(noisy(20, 20, seed=number), kind))
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    found = names_below(tmp_path / "out/train")
    assert len(found) == 8
    assert sorted(listed(tmp_path / "out", "train")) == found
    assert len({(tmp_path / "out/train" / name).read_bytes() for name in found}) == 8


def test_a_folder_named_like_an_image(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=1, dog=1)
    (source / "cat/x.bmp.jpg").mkdir()
    for name, seed in (("x.bmp", 5), ("x.bmp.jpg/y.png", 6)):
        (source / "cat" / name).write_bytes(encoded(noisy(20, 20, seed=seed), "BMP" if seed == 5 else "PNG"))
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    assert len(names_below(tmp_path / "out/train")) == 4


def test_a_name_as_long_as_names_can_be(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=1, dog=1)
    (source / "cat" / f"{'x' * 251}.bmp").write_bytes(encoded(noisy(20, 20), "BMP"))
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    assert len(names_below(tmp_path / "out/train")) == 3


def test_odd_names_are_listed_as_the_files_are_called(make_folder: MakeFolder, tmp_path: Path) -> None:
    """A reader of lists undoes no escapes, and reads UTF-8: the files have to be named accordingly."""
    source = with_odd_names(make_folder(cat=2, dog=2))
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    text = (tmp_path / "out/train_lst/train.lst").read_text(encoding="utf-8")
    found = sorted(line.split("\t")[-1] for line in text.split("\n") if line)
    assert found == names_below(tmp_path / "out/train")
    assert len(found) == 4 + len(ODD_NAMES)


def test_odd_names_are_s3_keys_in_a_manifest(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = with_odd_names(make_folder(cat=2, dog=2))
    packed(source, tmp_path / "out", output="augmented-manifest", s3_uri=S3, validation_fraction=0.0, test_fraction=0.0)
    found = [line["source-ref"].removeprefix(f"{S3}/train/") for line in manifest(tmp_path / "out", "train")]
    assert sorted(found) == names_below(tmp_path / "out/train")
    for name in found:
        name.encode("utf-8")  # S3's keys are UTF-8


READ = """
import json, sys
import mxnet as mx
out, found = sys.argv[1], []
for split, width in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
    iterator = mx.image.ImageIter(
        batch_size=4, data_shape=(3, 16, 16), label_width=width, path_imglist=f"{out}/{split}_lst/{split}.lst",
        path_root=f"{out}/{split}",
    )
    labels, means = [], []
    for batch in iterator:
        kept = 4 - batch.pad
        labels += batch.label[0].asnumpy()[:kept].tolist()
        means += batch.data[0].asnumpy()[:kept].mean(axis=(2, 3)).tolist()
    found.append([labels, means])
print(json.dumps(found))
"""


def test_mxnet_reads_the_images_by_the_lists(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=7, dog=9)
    packed(source, tmp_path / "out", record_format="png")
    found = in_mxnet(READ, tmp_path / "out", *(part for split in SPLITS for part in (split, 1)))
    for split, (labels, means) in zip(SPLITS, found, strict=True):
        rows = read_rows(tmp_path / "out" / f"{split}_lst" / f"{split}.lst")
        assert labels == [row.labels[0] for row in rows]
        for mean, row in zip(means, rows, strict=True):
            pixels = cv2.imread(str(source / row.path))[:, :, ::-1]
            assert np.abs(np.array(mean) - pixels.mean(axis=(0, 1))).max() < 4


def test_several_labels(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    rows = []
    for number in range(12):
        (source / f"{number}.png").write_bytes(encoded(noisy(20, 20, seed=number)))
        rows.append(f"{number}\t{number % 2}\t{number / 2}\t-1\t{number}.png\n")
    (source / "all.lst").write_text("".join(rows))
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    found = in_mxnet(READ, tmp_path / "out", "train", 3)[0][0]
    numbers = [int(Path(name).name.split(".")[0]) for name in listed(tmp_path / "out", "train")]
    assert sorted(numbers) == list(range(12))
    assert found == [[number % 2, number / 2, -1] for number in numbers]
    with pytest.raises(ContainerError, match="an augmented manifest holds one label per image, these have several"):
        packed(source, tmp_path / "manifest", output="augmented-manifest", s3_uri=S3)


def test_manifests_match_the_files(make_folder: MakeFolder, tmp_path: Path) -> None:
    dataset = packed(make_folder(cat=10, dog=20), tmp_path / "out", output="augmented-manifest", s3_uri=f"{S3}/")
    for split in SPLITS:
        lines = manifest(tmp_path / "out", split)
        assert len(lines) == dataset["counts"][split]
        assert all(sorted(line) == ["class", "source-ref"] for line in lines)
        names = [line["source-ref"].removeprefix(f"{S3}/{split}/") for line in lines]
        assert sorted(names) == names_below(tmp_path / "out" / split)
        assert [line["class"] for line in lines] == [str(int(name.startswith("dog"))) for name in names]
    assert not list((tmp_path / "out").glob("*_lst"))


@pytest.mark.parametrize("uri", ["", "bucket/prefix", "s3://", "https://bucket/x"])
def test_a_manifest_needs_an_s3_uri(uri: str) -> None:
    with pytest.raises(ContainerError, match="an augmented manifest names its images by their S3 URIs"):
        settings(output="augmented-manifest", s3_uri=uri)


def test_the_same_bytes_whatever_the_workers(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=30, dog=30)
    contents = []
    for workers in (1, 5):
        out = tmp_path / f"{workers}"
        packed(source, out, workers=workers)
        contents.append({name: (out / name).read_bytes() for name in names_below(out)})
    assert contents[0] == contents[1]


def test_what_an_earlier_run_wrote_is_gone(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=10, dog=10)
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    runs: list[dict[str, Any]] = [
        {},
        {"test_fraction": 0.0},
        {"output": "recordio"},
        {"output": "augmented-manifest", "s3_uri": S3},
        {"output": "recordio"},
    ]
    for number, changes in enumerate(runs):
        packed(source, out, **changes)
        packed(source, fresh / str(number), **changes)
        assert names_below(out) == names_below(fresh / str(number)), changes


def test_a_folder_that_is_not_ours_is_never_removed(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=5, dog=5)
    precious = tmp_path / "out/train/precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("the only copy")
    with pytest.raises(ContainerError, match="train"):
        packed(source, tmp_path / "out")
    assert precious.read_text() == "the only copy"


def test_a_failure_leaves_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=5, dog=5)
    (source / "cat/bad.png").write_bytes(b"x")
    with pytest.raises(ContainerError, match="1 of 11 images cannot be used"):
        packed(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rejections_are_listed_as_for_records(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=5, dog=5)
    (source / "cat/bad.png").write_bytes(b"x")
    packed(source, tmp_path / "out", max_rejected_fraction=0.5)
    with (tmp_path / "out/rejected.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["cat/bad.png"]


def test_a_folder_beside_earlier_records_is_never_removed(make_folder: MakeFolder, tmp_path: Path) -> None:
    """That an earlier run ended well says nothing about folders that this run did not write."""
    source = make_folder(cat=5, dog=5)
    packed(source, tmp_path / "out", output="recordio")
    precious = tmp_path / "out/train/precious.txt"
    precious.parent.mkdir()
    precious.write_text("the only copy")
    with pytest.raises(ContainerError, match="train"):
        packed(source, tmp_path / "out")
    assert precious.read_text() == "the only copy"


def test_a_folder_of_a_split_that_no_run_wrote_is_never_removed(make_folder: MakeFolder, tmp_path: Path) -> None:
    """An earlier run of images owns the folders of its own splits only."""
    source = make_folder(cat=5, dog=5)
    packed(source, tmp_path / "out", validation_fraction=0.0, test_fraction=0.0)
    precious = tmp_path / "out/test/precious.txt"
    precious.parent.mkdir()
    precious.write_text("the only copy")
    packed(source, tmp_path / "out", output="recordio", validation_fraction=0.0, test_fraction=0.0)
    assert not (tmp_path / "out/train").exists()
    assert precious.read_text() == "the only copy"
    with pytest.raises(ContainerError, match=r"out/test is there already"):
        packed(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["train", "train_lst", ".packing"])
def test_a_file_in_the_place_of_a_folder(make_folder: MakeFolder, tmp_path: Path, name: str) -> None:
    source = make_folder(cat=5, dog=5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(ContainerError, match=f"out/{name} is"):
        packed(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
