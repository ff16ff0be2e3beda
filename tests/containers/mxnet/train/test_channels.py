"""A channel's records are counted, measured and checked before training starts."""

from pathlib import Path

import pytest
from small_images import image, png, samples, write_records

from common.contract import ContainerError
from common.recordio import read_records
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


def test_every_host_needs_a_batch(channel: channels.Channel) -> None:
    channels.check(channel, channel, chosen(), hosts=2)
    assert [channel.shares(hosts) for hosts in (1, 2, 3, 6)] == [(10, 10), (5, 5), (4, 2), (2, 0)]
    with pytest.raises(ContainerError, match="of the 10 records of channel train one of 3 hosts gets 2; lower mini_b"):
        channels.check(channel, channel, chosen(), hosts=3)


def test_the_validation_labels_are_checked_too(channel: channels.Channel, tmp_path: Path) -> None:
    write_records(tmp_path / "validation" / "v.rec", [(3, png(image(0, 0)))])
    validation = channels.read("validation", tmp_path / "validation")
    with pytest.raises(ContainerError, match="num_classes is 3, but channel validation holds label 3"):
        channels.check(channel, validation, chosen())


def test_resize_makes_small_images_large_enough(channel: channels.Channel) -> None:
    channels.check(channel, channel, chosen(image_shape="3,16,16", resize="16"))


def test_one_label_per_image_makes_images_per_class(channel: channels.Channel) -> None:
    assert channel.label_width == 1
    assert channel.images_per_class(4).tolist() == [4, 3, 3, 0]


@pytest.fixture
def several(tmp_path: Path) -> channels.Channel:
    labels = [(1, 0, 1), (0, 0, 1), (0, 0, 0), (0, 1, 0)]
    write_records(tmp_path / "several" / "s.rec", [(of, png(image(0, n))) for n, of in enumerate(labels)])
    return channels.read("train", tmp_path / "several")


def test_several_labels_per_image_are_read(several: channels.Channel) -> None:
    assert (several.records, several.label_width) == (4, 3)
    assert several.labels == ((1, 0, 1), (0, 0, 1), (0, 0, 0), (0, 1, 0))
    assert several.images_per_class(3).tolist() == [1, 1, 2]
    channels.check(several, several, chosen(num_training_samples="4", multi_label="1"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "multi_label is 0, but channel train holds 3 labels per image; set multi_label to 1 and num_classes to 3"),
        (
            {"multi_label": "1", "num_classes": "4"},
            "multi_label is 1 and num_classes is 4, but channel train holds 3 labels per image",
        ),
    ],
)
def test_label_width_and_multi_label_must_fit(several: channels.Channel, given: dict[str, str], message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        channels.check(several, several, chosen(num_training_samples="4", **given))


def test_one_label_is_too_few_for_multi_label(channel: channels.Channel) -> None:
    with pytest.raises(ContainerError, match="multi_label is 1 and num_classes is 3, but channel train holds 1 label"):
        channels.check(channel, channel, chosen(multi_label="1"))


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
        ([(0, png(image(0, 0))), ((0, 1), png(image(0, 0)))], "record 1 has 2 labels, record 0 has 1; pack equally"),
        ([((0, 2, 1), png(image(0, 0)))], "record 0 has 2.0 for class 1; of several labels each is 0 or 1"),
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


def test_lists_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    for name, records in (("train", samples(4)), ("validation", samples(3, seed=1))):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}_lst").mkdir()
        for number, (_, payload) in enumerate(records):
            (tmp_path / name / f"{number}.png").write_bytes(payload)
        rows = (f"{number}\t{label}\t{number}.png\n" for number, (label, _) in enumerate(records))
        (tmp_path / f"{name}_lst" / "images.lst").write_text("".join(rows))
    (tmp_path / "scratch").mkdir()
    loaded = [
        channels.load(name, tmp_path, scratch=tmp_path / "scratch", threads=1) for name in ("train", "validation")
    ]
    held = [[record.payload for record in read_records(channel.path)] for channel in loaded]
    assert held == [[payload for _, payload in samples(4)], [payload for _, payload in samples(3, seed=1)]]
