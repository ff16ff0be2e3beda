"""Packing as a whole: equal bytes for equal input, honest counts, quarantine, nothing half-written; read by MXNet."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import Pixels, encoded, gradient, settings
from PIL import Image

from common.contract import ContainerError
from common.lists import read_list
from common.recordio import MAGIC_BYTES, Header, RecordWriter, read_records
from preprocess import records as records_module
from preprocess.decode import read_image
from preprocess.layout import Layout
from preprocess.pack import merge_shards, pack, pack_shard

MakeFolder = Callable[..., Path]
ReadWithMxnet = Callable[..., tuple[Pixels, list[int]]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_outputs_and_counts(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=10, dog=20)
    (source / "README.md").write_text("About these pictures.")
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(listing_hash="f" * 64))
    assert sorted(contents(tmp_path / "out")) == [
        "dataset/dataset.json",
        "dataset/duplicates.csv",
        "dataset/labels.json",
        "dataset/rejected.csv",
        "dataset/test.idx",
        "dataset/test.lst",
        "dataset/train.idx",
        "dataset/train.lst",
        "dataset/validation.idx",
        "dataset/validation.lst",
        "test/test.rec",
        "train/train.rec",
        "validation/validation.rec",
    ]
    assert json.loads((tmp_path / "out/dataset/dataset.json").read_text()) == dataset
    assert json.loads((tmp_path / "out/dataset/labels.json").read_text()) == ["cat", "dog"]
    assert dataset["classes"] == ["cat", "dog"]
    assert dataset["counts"] == {"train": 18, "validation": 6, "test": 6}
    assert dataset["class_counts"]["train"] == {"cat": 6, "dog": 12}
    assert (dataset["num_classes"], dataset["image_shape"]) == (2, [3, 16, 16])
    assert (dataset["rejected"], dataset["ignored"]) == (0, 1)
    assert dataset["listing_hash"] == "f" * 64


def test_training_samples_are_those_of_the_train_records_not_of_the_whole_set(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    dataset = pack(make_folder(cat=10, dog=20), Layout(root=tmp_path / "out"), settings())
    assert dataset["num_training_samples"] == len(list(read_records(tmp_path / "out/train/train.rec"))) == 18


def test_no_image_is_in_two_splits(make_folder: MakeFolder, tmp_path: Path) -> None:
    pack(make_folder(cat=11, dog=13), Layout(root=tmp_path / "out"), settings())
    paths = [
        path
        for split in ("train", "validation", "test")
        for path in read_list(tmp_path / f"out/dataset/{split}.lst").values()
    ]
    assert len(paths) == len(set(paths)) == 24


def test_index_and_list_describe_the_records(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=10, dog=20)
    pack(source, Layout(root=tmp_path / "out"), settings(record_format="png"))
    records = list(read_records(tmp_path / "out/train/train.rec"))
    index = [line.split("\t") for line in (tmp_path / "out/dataset/train.idx").read_text().splitlines()]
    assert [(int(id_), int(offset)) for id_, offset in index] == [(r.header.id, r.offset) for r in records]
    for id_, path in read_list(tmp_path / "out/dataset/train.lst").items():
        assert records[id_].header.label == ["cat", "dog"].index(path.split("/")[0])
        expected = read_image((source / path).read_bytes(), short_side=16)
        assert np.array_equal(read_image(records[id_].payload, short_side=16), expected)


def test_same_bytes_whatever_the_threads_and_the_file_order(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=40, dog=40)
    copied = tmp_path / "copied"
    for path in sorted(source.rglob("*.png"), reverse=True):
        (copied / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied / path.parent.name)
    pack(source, Layout(root=tmp_path / "one"), settings(workers=1))
    pack(copied, Layout(root=tmp_path / "many"), settings(workers=7))
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    pack(source, Layout(root=tmp_path / "other"), settings(seed=1))
    assert contents(tmp_path / "other")["test/test.rec"] != contents(tmp_path / "one")["test/test.rec"]


@pytest.mark.parametrize("instances", [1, 2, 5])
@pytest.mark.parametrize("changes", [{}, {"images_per_class": 7}, {"pass_through": True}, {"group_by": r"(\w+/\d\d)"}])
def test_shards_and_a_merge_give_the_bytes_of_one_instance(
    make_folder: MakeFolder, tmp_path: Path, instances: int, changes: dict[str, object]
) -> None:
    source = make_folder(cat=35, dog=22)
    (source / "cat/broken.png").write_bytes(b"\x89PNG")
    (source / "notes.txt").write_text("no image")
    shutil.copy(source / "dog/001.png", source / "dog/copy.png")
    chosen = settings(max_rejected_fraction=0.1, listing_hash="a" * 64, **changes)
    alone = pack(source, Layout(root=tmp_path / "alone"), chosen)
    assert alone["rejected"] == (1 if "images_per_class" not in changes else alone["rejected"])
    hosts = [f"algo-{number}" for number in range(1, instances + 1)]
    for path in sorted(source.rglob("*.*")):
        share = tmp_path / "shares" / hosts[sum(path.as_posix().encode()) % instances]
        target = share / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for host in hosts:
        (tmp_path / "shares" / host).mkdir(parents=True, exist_ok=True)
        pack_shard(tmp_path / "shares" / host, tmp_path / "pool", chosen, host=host, hosts=hosts)
    assert merge_shards(tmp_path / "pool", Layout(root=tmp_path / "merged"), chosen) == alone
    assert contents(tmp_path / "merged") == contents(tmp_path / "alone")


def test_a_missing_shard_or_one_of_other_settings_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=10, dog=10)
    pack_shard(source, tmp_path / "pool", settings(), host="algo-1", hosts=["algo-1", "algo-2"])
    with pytest.raises(ContainerError, match="lacks the shard of algo-2"):
        merge_shards(tmp_path / "pool", Layout(root=tmp_path / "out"), settings())
    with pytest.raises(ContainerError, match="other settings"):
        merge_shards(tmp_path / "pool", Layout(root=tmp_path / "out"), settings(quality=50))
    assert contents(tmp_path / "out") == {}


def test_files_that_fit_are_records_as_they_are(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=8, dog=8)
    for number in range(4):
        picture = gradient(30, 16, seed=number)
        (source / f"cat/fits{number}.jpg").write_bytes(encoded(picture, "JPEG") + MAGIC_BYTES * (number == 3))
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(pass_through=True))
    kept = 0
    for split in ("train", "validation", "test"):
        records = list(read_records(tmp_path / f"out/{split}/{split}.rec"))
        index = (tmp_path / f"out/dataset/{split}.idx").read_text().splitlines()
        assert index == [f"{record.header.id}\t{record.offset}" for record in records]
        for id_, path in read_list(tmp_path / f"out/dataset/{split}.lst").items():
            data = (source / path).read_bytes()
            kept += records[id_].payload == data
            assert records[id_].header.label == ["cat", "dog"].index(path.split("/")[0])
            assert (records[id_].payload == data) == ("fits" in path and "fits3" not in path)
    assert kept == 3
    assert dataset["duplicates"]["near_sets"] is None


def test_files_that_all_fit_are_written_once_and_to_plan(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(cat=12, dog=12)
    pack(source, Layout(root=tmp_path / "copied"), settings(resize=0, image_size=None, pass_through=True))
    assert all(record.payload.startswith(b"\x89PNG") for record in read_records(tmp_path / "copied/train/train.rec"))
    monkeypatch.setattr(records_module, "went_to_plan", lambda *_: False)
    pack(source, Layout(root=tmp_path / "again"), settings(resize=0, image_size=None, pass_through=True))
    assert contents(tmp_path / "copied") == contents(tmp_path / "again")


def test_the_content_hash_follows_content_and_names(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=6, dog=6)
    first = pack(source, Layout(root=tmp_path / "a"), settings())["content_hash"]
    assert pack(source, Layout(root=tmp_path / "b"), settings(seed=9))["content_hash"] == first
    (source / "cat/000.png").write_bytes(encoded(gradient(30, 30)))
    second = pack(source, Layout(root=tmp_path / "c"), settings())["content_hash"]
    (source / "cat/000.png").rename(source / "cat/zzz.png")
    third = pack(source, Layout(root=tmp_path / "d"), settings())["content_hash"]
    assert len({first, second, third}) == 3


def test_sample_per_class(make_folder: MakeFolder, tmp_path: Path) -> None:
    dataset = pack(make_folder(cat=30, dog=12), Layout(root=tmp_path / "out"), settings(images_per_class=10))
    assert sum(dataset["counts"].values()) == 20
    assert dataset["images_per_class"] == 10


def test_a_split_of_fraction_zero_has_a_folder_and_no_file(make_folder: MakeFolder, tmp_path: Path) -> None:
    dataset = pack(make_folder(cat=3, dog=3), Layout(root=tmp_path / "out"), settings(validation_fraction=0.0))
    assert dataset["counts"]["validation"] == 0
    assert list((tmp_path / "out/validation").iterdir()) == []


def test_unreadable_images_are_quarantined_and_the_split_stays_exact(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=20, dog=20)
    (source / "cat/empty.jpg").write_bytes(b"")
    (source / "cat/text.png").write_bytes(b"hello")
    (source / "dog/cut.jpg").write_bytes(encoded(gradient(64, 64), "JPEG")[:-200])
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(max_rejected_fraction=0.1))
    assert dataset["rejected"] == 3
    assert dataset["class_counts"]["test"] == {"cat": 4, "dog": 4}
    assert dataset["counts"] == {"train": 24, "validation": 8, "test": 8}
    with (tmp_path / "out/dataset/rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["cat/empty.jpg", "cat/text.png", "dog/cut.jpg"]
    assert [row["bytes"] for row in rows][:2] == ["0", "5"]
    assert all(row["reason"] for row in rows)


def test_too_many_rejections_name_the_first_few_and_leave_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=20, dog=20)
    for number in range(7):
        (source / f"cat/bad{number}.jpg").write_bytes(b"x")
    with pytest.raises(ContainerError) as error:
        pack(source, Layout(root=tmp_path / "out"), settings())
    assert "7 of 47 images cannot be used, more than a rejected share of 0.01 allows" in str(error.value)
    assert "cat/bad0.jpg: " in str(error.value)
    assert "and 2 more" in str(error.value)
    assert contents(tmp_path / "out") == {}


def test_a_class_that_loses_its_images_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=20, dog=3)
    (source / "dog/000.png").write_bytes(b"x")
    with pytest.raises(ContainerError, match="class 'dog' has 2 usable images"):
        pack(source, Layout(root=tmp_path / "out"), settings(max_rejected_fraction=0.5))


def test_a_failure_while_writing_leaves_nothing(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    original = RecordWriter.write_parts

    def fail_late(self: RecordWriter, id_: int, *framed: bytes) -> int:
        written.append(id_)
        if len(written) > 20:
            raise OSError("gone")
        return original(self, id_, *framed)

    monkeypatch.setattr(RecordWriter, "write_parts", fail_late)
    with pytest.raises(OSError, match="gone"):
        pack(make_folder(cat=20, dog=20), Layout(root=tmp_path / "out"), settings())
    assert contents(tmp_path / "out") == {}


def test_the_container_end_to_end(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder(name="ml/processing/input/data", cat=10, dog=10)
    done = run_container(tmp_path / "ml", "--image-size", "16", "--seed", "4")
    assert done.returncode == 0, done.stderr
    assert "Packed 20 images of 2 classes: train 16, validation 2, test 2" in done.stdout
    assert (tmp_path / "ml/processing/output/train/train.rec").is_file()
    assert not (tmp_path / "ml/output/message").exists()


def test_the_container_fails_with_one_line(tmp_path: Path) -> None:
    done = run_container(tmp_path / "ml", "--image-size", "16")
    assert done.returncode == 1
    reason = (tmp_path / "ml/output/message").read_text()
    assert reason + "\n" == done.stderr
    assert "does not exist" in reason
    done = run_container(tmp_path / "ml", "--image-size", "huge")
    assert "--image-size" in (tmp_path / "ml/output/message").read_text()
    assert done.stderr.count("\n") == 1


def run_container(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "preprocess", *arguments]
    environment = {**os.environ, "ML_ROOT": str(root)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("record_format", ["jpg", "png"])
def test_mxnet_reads_every_record_with_its_colours_and_labels(
    make_folder: MakeFolder, tmp_path: Path, read_with_mxnet: ReadWithMxnet, record_format: str
) -> None:
    source = make_folder(cat=21, dog=22)
    pack(source, Layout(root=tmp_path / "out"), settings(record_format=record_format, resize=18))
    records = tmp_path / "out/train/train.rec"
    pixels, labels = read_with_mxnet(records, side=16)
    listed = read_list(tmp_path / "out/dataset/train.lst")
    assert labels == [["cat", "dog"].index(path.split("/")[0]) for path in listed.values()]
    assert len(pixels) == len(listed) == 26  # no multiple of the batch of 8
    for found, path in zip(pixels, listed.values(), strict=True):
        with_reference(found, cv2.imread(str(source / path))[:, :, ::-1], short_side=18, side=16)


def with_reference(found: Pixels, original: Pixels, *, short_side: int, side: int) -> None:
    """Compare what MXNet gives with an independent decode, resize and center crop; swapped channels must be far off."""
    scale = short_side / min(original.shape[:2])
    size = (round(original.shape[1] * scale), round(original.shape[0] * scale))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(original)).resize(size, method))
    top, left = (expected.shape[0] - side) // 2, (expected.shape[1] - side) // 2
    expected = expected[top : top + side, left : left + side].astype(int)
    assert np.abs(found - expected).mean() < 6  # the sharpest of the real photographs: 4.8
    if np.abs(expected[..., 0] - expected[..., 2]).mean() > 20:
        assert np.abs(found - expected[..., ::-1]).mean() > 12


def test_mxnet_rejoins_records_that_hold_the_magic(tmp_path: Path, read_with_mxnet: ReadWithMxnet) -> None:
    pictures = [gradient(16, 16, seed=seed) for seed in range(5)]
    path = tmp_path / "x.rec"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for label, picture in enumerate(pictures):
            # Bytes behind a PNG's end are ignored by decoders: a place for aligned magic words.
            payload = encoded(picture)
            payload += bytes(-len(payload) % 4) + MAGIC_BYTES * (label + 1) + b"tail"
            writer.write(Header((float(label),), label), payload)
    pixels, labels = read_with_mxnet(path, side=16, batch_size=2)
    assert labels == [0, 1, 2, 3, 4]
    assert np.array_equal(pixels, np.stack(pictures))


def test_real_images_in_mxnet(shared_data: Path, tmp_path: Path, read_with_mxnet: ReadWithMxnet) -> None:
    source = shared_data / "pizza_512_originals"
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(image_size=96, resize=112))
    assert dataset["rejected"] == 0
    pixels, labels = read_with_mxnet(tmp_path / "out/test/test.rec", side=96)
    listed = list(read_list(tmp_path / "out/dataset/test.lst").values())
    assert Counter(labels) == {0: 6, 1: 6}
    assert labels == [dataset["classes"].index(path.split("/")[0]) for path in listed]
    for found, path in zip(pixels, listed, strict=True):
        with_reference(found, cv2.imread(str(source / path))[:, :, ::-1], short_side=112, side=96)


def test_real_transparent_pngs_in_mxnet(shared_data: Path, tmp_path: Path, read_with_mxnet: ReadWithMxnet) -> None:
    source = shared_data / "cifar100_bikes_test"
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(image_size=32, resize=32, record_format="png"))
    pixels, labels = read_with_mxnet(tmp_path / "out/test/test.rec", side=32)
    assert Counter(labels) == {0: 20, 1: 20}
    for found, path in zip(pixels, read_list(tmp_path / "out/dataset/test.lst").values(), strict=True):
        assert np.array_equal(found, read_image((source / path).read_bytes(), short_side=32))
    assert dataset["classes"] == ["bicycle", "motorcycle"]


def test_outputs_that_a_killed_run_had_set_aside_come_back(make_folder: MakeFolder, tmp_path: Path) -> None:
    """As after a kill between two renames, when the next run fails as well."""
    source, out = make_folder(cat=6, dog=6), tmp_path / "out"
    layout = Layout(root=out, flat=True)
    pack(source, layout, settings())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with layout.locked():
        pass
    layout.remove_outputs(keep=set())
    assert sorted(path.name for path in out.iterdir()) == [".dataset.json.replaced", ".packing"]
    (out / "train.rec").write_bytes(b"of the run that was killed")
    (source / "cat/bad.png").write_bytes(b"bad")
    with pytest.raises(ContainerError, match="1 of 13 images cannot be used"):
        pack(source, layout, settings())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_shards_of_several_runs_are_not_merged(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=6, dog=6)
    for host, hosts in (("algo-1", ["algo-1", "algo-2"]), ("algo-2", ["algo-1", "algo-2"]), ("algo-3", ["algo-3"])):
        pack_shard(source, tmp_path / "pool", settings(), host=host, hosts=hosts)
    with pytest.raises(ContainerError, match="holds shards of several runs"):
        merge_shards(tmp_path / "pool", Layout(root=tmp_path / "out"), settings())


def test_a_sample_that_a_list_makes_impossible_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    """An instance samples by folders, for it may not hold the list that says what the classes are."""
    source = make_folder(all=60)
    names = sorted(path.name for path in (source / "all").iterdir())
    (source / "a.lst").write_text("".join(f"{n}\t{int(n < 5)}\tall/{name}\n" for n, name in enumerate(names)))
    chosen = settings(images_per_class=5)
    alone = pack(source, Layout(root=tmp_path / "alone"), chosen)
    assert sum(alone["counts"].values()) == 10
    pack_shard(source, tmp_path / "pool", chosen, host="algo-1", hosts=["algo-1"])
    with pytest.raises(ContainerError, match="no instance has tried it: with lists of labels"):
        merge_shards(tmp_path / "pool", Layout(root=tmp_path / "out"), chosen)


def test_the_rejected_share_of_a_sample_counts_what_was_tried(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=30, dog=30)
    for number in range(30):
        (source / f"cat/{number}.heic").write_bytes(b"x")
    dataset = pack(source, Layout(root=tmp_path / "out"), settings(images_per_class=5))
    assert (sum(dataset["counts"].values()), dataset["rejected"]) == (10, 30)
    with pytest.raises(ContainerError, match="30 of 90 images cannot be used"):
        pack(source, Layout(root=tmp_path / "out"), settings())
