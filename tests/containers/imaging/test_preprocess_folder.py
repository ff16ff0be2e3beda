"""`imgpipe pack`: its command line, and that MXNet reads what it writes: indexes, several labels, a single file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from in_mxnet import in_mxnet
from pictures import encoded, noisy, settings

from common.contract import ContainerError
from common.lists import escape_path, read_list, read_rows
from common.recordio import read_records
from preprocess.container_arguments import parse_arguments as parse_container_arguments
from preprocess.folder import parse_arguments
from preprocess.layout import Layout
from preprocess.pack import pack
from preprocess.settings import SPLITS, Settings

MakeFolder = Callable[..., Path]


def parsed(*arguments: str) -> Settings:
    return parse_arguments(["source", "out", *arguments])[2]


@pytest.mark.parametrize(
    ("arguments", "train", "validation", "test"),
    [
        ("", "0.8", "0.1", "0.1"),
        ("--train 1", "1", "0", "0"),
        ("--train 1 --validation 0 --test 0", "1", "0", "0"),
        ("--train 0.7", "0.7", "0.15", "0.15"),
        ("--train 0.8 --test 0.2", "0.8", "0", "0.2"),
        ("--train 0.8 --test 0.05", "0.8", "0.15", "0.05"),
        ("--validation 0.3", "0.6", "0.3", "0.1"),
        ("--test 0", "0.9", "0.1", "0"),
        ("--validation 0.25 --test 0.25", "0.5", "0.25", "0.25"),
        ("--train 0.3 --validation 0.3 --test 0.4", "0.3", "0.3", "0.4"),
        ("--train 0 --validation 0 --test 1", "0", "0", "1"),
        ("--train .333", "0.333", "0.3335", "0.3335"),
    ],
)
def test_shares(arguments: str, train: str, validation: str, test: str) -> None:
    expected = {"train": Fraction(train), "validation": Fraction(validation), "test": Fraction(test)}
    assert parsed(*arguments.split()).fractions == expected


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("--train 0.8 --validation 0.1 --test 0.2", "--train 0.8, --validation 0.1, --test 0.2"),
        ("--train 0.5 --validation 0.1 --test 0.2", "--train 0.5, --validation 0.1, --test 0.2"),
        ("--train 0.9 --test 0.2", "--train 0.9, --validation -0.1, --test 0.2"),
        ("--validation 0.9 --test 0.2", "--train -0.1, --validation 0.9, --test 0.2"),
        ("--validation 1", "--train -0.1, --validation 1, --test 0.1"),
    ],
)
def test_shares_of_more_or_less_than_a_whole(arguments: str, shown: str) -> None:
    with pytest.raises(ContainerError, match=f"^{shown} are no shares of a whole: they must add up to 1"):
        parsed(*arguments.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--train 2", "--train: must be a number from 0 to 1, got '2'"),
        ("--test nan", "--test: must be a number from 0 to 1"),
        ("--seed -1", "--seed: must be a whole number from 0 to 2147483647"),
        ("--seed 1.5", "--seed: must be a whole number"),
        ("--resize 5000", "--resize: must be a whole number from 0 to 4096"),
        ("--quality 0", "--quality: must be a whole number from 1 to 100"),
        ("--crop middle", "--crop: invalid choice: 'middle'"),
        ("--format gif", "--format: invalid choice: 'gif'"),
        ("--output lmdb", "--output: invalid choice: 'lmdb'"),
        ("--threads two", "--threads: must be a whole number from 0 to 1024"),
        ("--max-rejected 1.1", "--max-rejected: must be a number from 0 to 1"),
        ("--val 0.1", "unrecognized arguments: --val"),
        ("more", "unrecognized arguments: more"),
        ("--group-by (", "--group-by '(' is no regular expression"),
        ("--output augmented-manifest", "give the prefix that the output folder will be copied to"),
    ],
)
def test_a_wrong_argument_is_named(arguments: str, message: str) -> None:
    with pytest.raises(ContainerError) as error:
        parsed(*arguments.split())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_arguments_become_settings() -> None:
    options = "--seed 3 --resize 256 --crop square --quality 80 --format png --pass-through --convert-icc --threads 5"
    more = ["--max-rejected", "0.2", "--output", "image", "--group-by", "(a)"]
    source, out, found = parse_arguments(["in", "out", *options.split(), *more])
    assert (source, out) == (Path("in"), Path("out"))
    assert found == Settings(
        image_size=256,
        resize=256,
        crop="square",
        seed=3,
        quality=80,
        record_format="png",
        pass_through=True,
        convert_icc=True,
        workers=5,
        max_rejected_fraction=0.2,
        output="image",
        group_by="(a)",
    )
    plain = parsed()
    assert (plain.image_size, plain.resize, plain.workers >= 1) == (None, 0, True)


def test_a_destination_in_the_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for out in ("data", "data/out", "link/deep/er", "data/../data"):
        with pytest.raises(ContainerError, match="whose files would change while they are read: choose a folder"):
            parse_arguments([str(tmp_path / "data"), str(tmp_path / out)])
    parse_arguments([str(tmp_path / "data"), str(tmp_path / "data2")])


def test_a_source_that_the_output_would_replace_survives(make_folder: MakeFolder, tmp_path: Path) -> None:
    """`imgpipe pack data/train data --output image` must not replace data/train, which is what it reads."""
    make_folder("base/train", cat=5, dog=5)
    before = sorted((tmp_path / "base/train").rglob("*.png"))

    def run_command() -> None:
        arguments = [str(tmp_path / "base/train"), str(tmp_path / "base"), "--output", "image"]
        source, out, found = parse_arguments(arguments)
        pack(source, Layout(root=out, flat=True), found)

    run_twice = (run_command, run_command)  # a seal in the destination changes nothing
    for command in run_twice:
        with pytest.raises(ContainerError):
            command()
        (tmp_path / "base/dataset.json").write_text("{}")
    assert sorted((tmp_path / "base/train").rglob("*.png")) == before


# The same settings from the containers' command line


def test_container_arguments_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTING_HASH", "ab" * 32)
    found = parse_container_arguments(["--image-size", "32", "--validation-fraction", "0.2", "--record-format", "png"])
    assert (found.image_size, found.resize, found.validation_fraction) == (32, 32, 0.2)
    assert (found.record_format, found.listing_hash, found.quality) == ("png", "ab" * 32, 95)
    assert (found.pass_through, found.convert_icc, found.group_by) == (False, False, "")
    found = parse_container_arguments(["--pass-through", "true", "--convert-icc", "true", "--group-by=^(-x)_"])
    assert (found.pass_through, found.convert_icc, found.group_by) == (True, True, "^(-x)_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--quality 0", "--quality: must be a whole number from 1 to 100"),
        ("--record-format gif", "--record-format: invalid choice: 'gif'"),
        ("--pass-through yes", "--pass-through: invalid choice: 'yes'"),
        ("--image-size 64 --resize 32", "--resize 32 is smaller than --image-size 64"),
        ("--validation-fraction 0.5 --test-fraction 0.5", "together they must be below 1"),
        ("--validation-fraction 1", "--validation-fraction: must be a number from 0 up to but not including 1"),
    ],
)
def test_a_wrong_container_argument_is_named(arguments: str, message: str) -> None:
    with pytest.raises(ContainerError) as error:
        parse_container_arguments(arguments.split())
    assert message in str(error.value)


def test_shares_above_a_whole_are_refused_everywhere() -> None:
    with pytest.raises(ContainerError, match="more than all images: together they may be at most 1"):
        settings(validation_fraction=0.6, test_fraction=0.5)


# The command itself


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("imgpipe")
    if not command.is_file():
        pytest.skip("needs the command imgpipe: run make setup-dev")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [command, "pack", *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )


def test_the_command_packs_a_folder(make_folder: MakeFolder, tmp_path: Path) -> None:
    source, out = make_folder(cat=10, dog=20), tmp_path / "out"
    done = run(source, out, "--resize", 16, "--seed", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Packed 30 images of 2 classes: train 24, validation 3, test 3" in done.stdout
    expected = {f"{split}.{suffix}" for split in SPLITS for suffix in ("rec", "idx", "lst")}
    expected |= {"dataset.json", "labels.json", "rejected.csv", "duplicates.csv"}
    assert {path.name for path in out.iterdir()} == expected
    # The library, called in this process, gives the same bytes.
    same = tmp_path / "same"
    found = settings(seed=1, validation_fraction=0.1, test_fraction=0.1)
    assert pack(source, Layout(root=same, flat=True), found) == json.loads((out / "dataset.json").read_text())
    assert all((same / name).read_bytes() == (out / name).read_bytes() for name in expected)


def test_the_command_fails_with_one_line_and_explains_itself(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {tmp_path}/nowhere does not exist: give a folder that holds one folder of images per class\n"
    )
    assert not (tmp_path / "out").exists()
    done = run("--help")
    assert done.returncode == 0
    options = "train validation test seed resize crop quality format pass-through convert-icc group-by threads"
    for option in [*options.split(), "max-rejected", "output", "s3-uri"]:
        assert f"--{option}" in done.stdout


def test_a_wrong_argument_of_the_program_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "preprocess.folder", "only-a-source"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: imgpipe pack: the following arguments are required: OUT; see --help")
    assert done.stderr.count("\n") == 1


# What MXNet makes of it


READ_RECORDS = """
import json, sys
import mxnet as mx
results = []
for out, width in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    indexed = mx.recordio.MXIndexedRecordIO(f"{out}/train.idx", f"{out}/train.rec", "r")
    found = {}
    for key in reversed(indexed.keys):
        header, payload = mx.recordio.unpack(indexed.read_idx(key))
        assert header.id == key
        label = [float(header.label)] if header.flag == 0 else header.label.tolist()
        found[key] = [label, payload.hex()]
    labels = []
    iterator = mx.io.ImageRecordIter(
        path_imgrec=f"{out}/train.rec", data_shape=(3, 16, 16), batch_size=4, label_width=width, preprocess_threads=1
    )
    for batch in iterator:
        values = batch.label[0].asnumpy()[: 4 - batch.pad]
        labels += values.reshape(len(values), -1).tolist()
    results.append([found, labels])
print(json.dumps(results))
"""


def labelled_folder(source: Path, names: list[str], labels: list[tuple[float, ...]]) -> Path:
    rows = []
    for number, (name, values) in enumerate(zip(names, labels, strict=True)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(encoded(noisy(18, 18, seed=number)))
        rows.append(
            f"{number}\t{''.join(f'{value}	' for value in values)}{escape_path(name)}\n".encode(
                errors="surrogateescape"
            )
        )
    (source / "all.lst").write_bytes(b"".join(rows))
    return source


def test_mxnet_seeks_with_the_index_and_reads_all_labels(tmp_path: Path) -> None:
    names = [f"x/{number}.png" for number in range(14)]
    names += ["x/tab\there.png", "new\nline.png", "%09.png", "ä \U0001f600.png", os.fsdecode(b"\xff.png")]
    expected = {}
    for width in (1, 3):
        labels = [(float(number % 2), number / 4, -1.5)[:width] for number in range(len(names))]
        source, out = labelled_folder(tmp_path / f"{width}/data", names, labels), tmp_path / f"{width}/out"
        classes = ["a", "b", "c"][: max(width, 2)]
        (source / "labels.json").write_text(json.dumps(classes))
        dataset = pack(source, Layout(root=out, flat=True), settings(validation_fraction=0.0, test_fraction=0.0))
        assert (dataset["label_width"], dataset["classes"]) == (width, classes)
        listed = read_list(out / "train.lst")
        assert sorted(listed.values()) == sorted(names)
        expected[width] = {id_: list(labels[names.index(name)]) for id_, name in listed.items()}
        assert {row.id: list(row.labels) for row in read_rows(out / "train.lst")} == expected[width]
    results = in_mxnet(READ_RECORDS, *(part for width in (1, 3) for part in (tmp_path / f"{width}/out", width)))
    for width, (found, read) in zip((1, 3), results, strict=True):
        assert {int(key): label for key, (label, _) in found.items()} == expected[width]
        assert {int(key): bytes.fromhex(payload) for key, (_, payload) in found.items()} == {
            record.header.id: record.payload for record in read_records(tmp_path / f"{width}/out/train.rec")
        }
        assert read == [expected[width][id_] for id_ in sorted(expected[width])]


def test_lists_of_splits_go_through(tmp_path: Path) -> None:
    source = labelled_folder(tmp_path / "data", [f"{n}.png" for n in range(20)], [(float(n % 2),) for n in range(20)])
    lines = (source / "all.lst").read_text().splitlines(keepends=True)
    (source / "all.lst").unlink()
    (source / "train.lst").write_text("".join(lines[:14]))
    (source / "test.lst").write_text("".join(lines[14:]))
    dataset = pack(source, Layout(root=tmp_path / "out", flat=True), settings(validation_fraction=0.0))
    assert dataset["counts"] == {"train": 14, "validation": 0, "test": 6}
    assert dataset["given_splits"] == ["test", "train"]
    assert sorted(read_list(tmp_path / "out/test.lst").values()) == sorted(f"{number}.png" for number in range(14, 20))


def test_a_listed_image_that_cannot_be_used_counts_once(tmp_path: Path) -> None:
    source = labelled_folder(tmp_path / "data", [f"{n}.png" for n in range(20)], [(float(n % 2),) for n in range(20)])
    (source / "x.heic").write_bytes(b"1234")
    with (source / "all.lst").open("a") as file:
        file.write("20\t1\tx.heic\n")
    dataset = pack(source, Layout(root=tmp_path / "out", flat=True), settings(max_rejected_fraction=0.1))
    assert dataset["rejected"] == 1


def test_profiles_are_converted_although_files_are_passed_through(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number in range(6):
        path = tmp_path / f"data/{number % 2}/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noisy(16, 16, seed=number), "JPEG", icc_profile=profile))
    for convert_icc in (False, True):
        out = tmp_path / str(convert_icc)
        found = settings(pass_through=True, convert_icc=convert_icc, validation_fraction=0.0, test_fraction=0.0)
        pack(tmp_path / "data", Layout(root=out, flat=True), found)
        kept = [b"ICC_PROFILE" in record.payload for record in read_records(out / "train.rec")]
        assert kept == [not convert_icc] * 6
