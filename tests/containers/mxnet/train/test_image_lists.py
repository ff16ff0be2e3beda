"""Image files named by a list become records: right labels, right colours, and errors with the list's line."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_images import COLORS, SIDE, image, png

from common.contract import ContainerError
from common.recordio import read_records
from train import channels, hyperparameters, image_lists, iterators


def jpeg(pixels: np.ndarray) -> bytes:
    """RGB pixels as a JPEG of high quality; OpenCV wants BGR."""
    return cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


Lines = list[tuple[str, str, bytes | None]]


@pytest.fixture
def channel(tmp_path: Path) -> Callable[..., Path]:
    """Lay out channels of (labels, path, content): the list's line, and the file unless its content is None."""

    def lay_out(lines: Lines, name: str = "train") -> Path:
        data = tmp_path / "data"
        (data / name).mkdir(parents=True)
        (data / f"{name}_lst").mkdir()
        for _, path, content in lines:
            if content is not None:
                (data / name / path).parent.mkdir(parents=True, exist_ok=True)
                (data / name / path).write_bytes(content)
        rows = [f"{number}\t{labels}\t{path}\n" for number, (labels, path, _) in enumerate(lines)]
        (data / f"{name}_lst" / f"{name}.lst").write_text("".join(rows), encoding="utf-8")
        return data

    return lay_out


def load(data: Path, tmp_path: Path) -> channels.Channel:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return channels.load("train", data, scratch=scratch, threads=2)


def test_files_become_records_unchanged_in_the_lists_order(channel: Callable[..., Path], tmp_path: Path) -> None:
    contents = [png(image(n % 3, n)) if n % 2 else jpeg(image(n % 3, n)) for n in range(100)]
    data = channel([(f"{n % 3}.000000", f"class {n % 3}/ä%25 {n}.img", content) for n, content in enumerate(contents)])
    read = load(data, tmp_path)
    assert (read.records, read.path.name, read.label_width) == (100, "train.lst", 1)
    assert read.labels == tuple(n % 3 for n in range(100))
    assert [record.payload for record in read_records(read.path)] == contents


def test_colours_and_labels_arrive_at_the_network(channel: Callable[..., Path], tmp_path: Path) -> None:
    plain = [np.full((SIDE, SIDE, 3), color, np.uint8) for color in COLORS]
    data = channel([(f"{label}", f"{label}.jpg", jpeg(pixels)) for label, pixels in enumerate(plain)])
    given = {"num_classes": "3", "num_training_samples": "3", "image_shape": f"3,{SIDE},{SIDE}", "mini_batch_size": "3"}
    read = load(data, tmp_path)
    (batch,) = iterators.training(read, hyperparameters.parse(given), threads=1, epoch=0)
    for pixels, label in zip(batch.data[0].asnumpy(), batch.label[0].asnumpy().astype(int), strict=True):
        np.testing.assert_allclose(pixels.mean(axis=(1, 2)), COLORS[label], atol=4)


def test_several_labels_of_a_list(channel: Callable[..., Path], tmp_path: Path) -> None:
    read = load(channel([("1\t0\t1", "a.png", png(image(0, 0))), ("0\t1\t0", "b.png", png(image(1, 1)))]), tmp_path)
    assert read.labels == ((1, 0, 1), (0, 1, 0))


def test_nothing_is_written_into_the_channels(channel: Callable[..., Path], tmp_path: Path) -> None:
    """In FastFile mode they are a read-only mount."""
    data = channel([("0", "a/0.png", png(image(0, 0)))])
    before = {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]}
    assert load(data, tmp_path).records == 1
    assert {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]} == before


GOOD = ("0", "good.png", png(image(0, 0)))
CUT_OFF = jpeg(image(0, 0, 64))[:-200]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("0", "not/there.jpg", None), r"train\.lst, line 3: not/there\.jpg is missing in .*/data/train/not; correct"),
        (("0", "text.jpg", b"no image"), r"train\.lst, line 3: text\.jpg is no readable image \(.*\); replace it"),
        (("0", "cut.jpg", CUT_OFF), r"train\.lst, line 3: cut\.jpg is no readable image"),
        (("0", "empty.jpg", b""), r"train\.lst, line 3: empty\.jpg is no readable image"),
        (("0", "../data/train/good.png", None), r"train\.lst, line 3: \.\./.* is not below the channel's folder"),
        (("0", "/etc/hostname", None), r"train\.lst, line 3: /etc/hostname is not below the channel's folder"),
        (("zero", "good.png", None), r"train\.lst: line 3 is not 'id<tab>label<tab>path'"),
        (("0\t1", "good.png", None), r"train\.lst: line 3 has 2 labels, the first line 1"),
        (("0.5", "good.png", None), r"train\.lst: record 1 has label 0\.5"),
    ],
)
def test_a_bad_line_is_named(
    channel: Callable[..., Path], tmp_path: Path, bad: tuple[str, str, bytes | None], message: str
) -> None:
    data = channel([GOOD, bad])
    listed = data / "train_lst" / "train.lst"
    listed.write_text(listed.read_text().replace("\n", "\n\n", 1))
    with pytest.raises(ContainerError, match=message):
        load(data, tmp_path)


def test_another_format_is_named(channel: Callable[..., Path], tmp_path: Path) -> None:
    bitmap = cv2.imencode(".bmp", image(0, 0))[1].tobytes()
    with pytest.raises(ContainerError, match=r"line 2: b\.jpg is BMP; give JPEG or PNG files"):
        load(channel([GOOD, ("0", "b.jpg", bitmap)]), tmp_path)


def test_an_empty_list_is_named(channel: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"train\.lst names no image"):
        load(channel([]), tmp_path)


@pytest.mark.parametrize("names", [[], ["a.lst", "b.lst"]])
def test_exactly_one_list(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ContainerError, match=r"channel train_lst needs exactly one \.lst file"):
        image_lists.find_list("train_lst", tmp_path)


def test_a_list_without_its_images_is_named(channel: Callable[..., Path], tmp_path: Path) -> None:
    data = channel([])
    (data / "train").rmdir()
    with pytest.raises(ContainerError, match="channel train is missing: no directory"):
        load(data, tmp_path)


def test_without_a_list_there_must_be_records(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.jpg").write_bytes(jpeg(image(0, 0)))
    with pytest.raises(ContainerError, match=r"one \.rec file .*, found none; .*channel train_lst with their list"):
        channels.load("train", tmp_path, scratch=tmp_path, threads=1)
