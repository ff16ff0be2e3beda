"""A channel's records are counted, measured and checked before training starts."""

from pathlib import Path

import pytest
from small_images import image, png, samples, write_records

from common.contract import ContainerError
from train import channels, hyperparameters


def chosen(**given: str) -> hyperparameters.Hyperparameters:
    base = {"num_classes": "3", "num_training_samples": "10", "image_shape": "3,12,12", "mini_batch_size": "4"}
    return hyperparameters.parse(base | given)


@pytest.fixture
def channel(tmp_path: Path) -> channels.Channel:
    write_records(tmp_path / "train" / "any_name.rec", samples(10))
    return channels.read("train", tmp_path / "train")


def test_records_labels_and_sizes_are_read(tmp_path: Path) -> None:
    records = [(0, png(image(0, 0, 14))), (2, png(image(2, 1, 12)[:, :10])), (1, png(image(1, 2, 20)))]
    path = write_records(tmp_path / "train.rec", records)
    channel = channels.read("train", tmp_path)
    assert (channel.records, channel.labels, channel.smallest) == (3, (0, 2, 1), (12, 10))
    assert channel.offsets[0] == 0
    assert path.read_bytes()[channel.offsets[2] :][:4] == path.read_bytes()[:4]


def test_fitting_channels_pass(channel: channels.Channel) -> None:
    channels.check(channel, channel, chosen())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_training_samples": "12"}, "num_training_samples is 12, but any_name.rec holds 10 records; set it to 10"),
        ({"mini_batch_size": "11"}, "mini_batch_size is 11, but channel train holds 10 records; lower mini_batch_size"),
        ({"num_classes": "2"}, "num_classes is 2, but channel train holds label 2"),
        ({"image_shape": "3,12,16"}, "image_shape is 3,12,16, but channel train holds images down to 12x12"),
    ],
)
def test_what_does_not_fit_is_named(channel: channels.Channel, given: dict[str, str], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        channels.check(channel, channel, chosen(**given))


def test_the_validation_labels_are_checked_too(channel: channels.Channel, tmp_path: Path) -> None:
    write_records(tmp_path / "validation" / "v.rec", [(3, png(image(0, 0)))])
    validation = channels.read("validation", tmp_path / "validation")
    with pytest.raises(ContainerError, match="num_classes is 3, but channel validation holds label 3"):
        channels.check(channel, validation, chosen())


def test_resize_makes_small_images_large_enough(channel: channels.Channel) -> None:
    channels.check(channel, channel, chosen(image_shape="3,16,16", resize="16"))


@pytest.mark.parametrize("names", [[], ["a.rec", "b.rec"]])
def test_exactly_one_record_file(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_records(tmp_path / name, samples(1))
    with pytest.raises(ContainerError, match=r"channel train needs exactly one \.rec file"):
        channels.read("train", tmp_path)


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="channel validation is missing: no directory"):
        channels.read("validation", tmp_path / "validation")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "has no records"),
        ([(0, b"no image")], "record 0 is no readable image"),
        ([(0, png(image(0, 0))), ((0, 1), png(image(0, 0)))], "record 1 has 2 labels; multi_label is not available"),
        ([(0.5, png(image(0, 0)))], "record 0 has label 0.5"),
        ([(-1, png(image(0, 0)))], "record 0 has label -1.0"),
    ],
)
def test_a_record_that_is_no_labelled_image_is_named(
    tmp_path: Path, records: list[tuple[float, bytes]], message: str
) -> None:
    write_records(tmp_path / "train.rec", records)
    with pytest.raises(ContainerError, match=message):
        channels.read("train", tmp_path)


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = write_records(tmp_path / "train.rec", samples(3))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ContainerError, match="is damaged at byte"):
        channels.read("train", tmp_path)
