"""Batches hold every record once, in RGB, and change only as the augmentation says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_images import COLORS, SIDE, image, png, samples, write_records

from train import channels, hyperparameters, iterators


def chosen(**given: str) -> hyperparameters.Hyperparameters:
    base = {"num_classes": "3", "num_training_samples": "10", "image_shape": f"3,{SIDE},{SIDE}", "mini_batch_size": "4"}
    return hyperparameters.parse(base | given)


def channel_of(directory: Path, records: list[tuple[float, bytes]]) -> channels.Channel:
    write_records(directory / "train.rec", records)
    return channels.read("train", directory)


def numbered(directory: Path, count: int) -> channels.Channel:
    """Record number n has label n, so that labels tell which records a batch holds."""
    return channel_of(directory, [(number, png(image(number % 3, number))) for number in range(count)])


def one_pass(batches: object) -> list[int]:
    labels = []
    for batch in batches:  # type: ignore[attr-defined]
        labels.extend(batch.label[0].asnumpy()[: len(batch.label[0].asnumpy()) - batch.pad].astype(int))
    return labels


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_validation_counts_every_record_once_in_order(tmp_path: Path, count: int) -> None:
    channel = numbered(tmp_path, count)
    for _ in range(2):
        assert one_pass(iterators.validation(channel, chosen(), threads=1)) == list(range(count))


@pytest.mark.parametrize("count", [4, 7, 10])
def test_training_uses_every_record_equally_often(tmp_path: Path, count: int) -> None:
    batches = iterators.training(numbered(tmp_path, count), chosen(), threads=1)
    seen: Counter[int] = Counter()
    for _ in range(8):
        for batch in batches:
            labels = batch.label[0].asnumpy()
            assert len(labels) == 4
            seen.update(labels.astype(int).tolist())
        batches.reset()
    assert set(seen) == set(range(count))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_training_order_changes_by_pass_and_depends_on_the_seed(tmp_path: Path) -> None:
    channel = numbered(tmp_path, 40)

    def two_passes(seed: str) -> list[list[int]]:
        batches = iterators.training(channel, chosen(seed=seed), threads=1)
        first = one_pass(batches)
        batches.reset()
        return [first, one_pass(batches)]

    assert two_passes("0") == two_passes("0")
    assert two_passes("0") != two_passes("1")
    first, second = two_passes("0")
    assert first != second
    assert sorted(first) == sorted(second) == list(range(40))


def test_images_are_raw_rgb(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, samples(3))
    batch = next(iter(iterators.validation(channel, chosen(), threads=1)))
    expected = np.stack([image(label, label) for label in range(3)]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch.data[0].asnumpy(), expected)
    reddest = batch.data[0].asnumpy()[0].reshape(3, -1).max(axis=1)
    assert reddest[0] > COLORS[0][0] - 30 > reddest[2]


def test_without_augmentation_training_images_are_the_records(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, samples(4))
    batch = next(iterators.training(channel, chosen(), threads=1))
    for pixels, label in zip(batch.data[0].asnumpy(), batch.label[0].asnumpy().astype(int), strict=True):
        originals = [image(index % 3, index).transpose(2, 0, 1) for index in range(4) if index % 3 == label]
        assert any(np.array_equal(pixels, original) for original in originals)


def test_larger_records_are_cropped_at_the_centre(tmp_path: Path) -> None:
    wide = image(0, 0, 20)[:16]
    channel = channel_of(tmp_path, [(0, png(wide))])
    batch = next(iter(iterators.validation(channel, chosen(), threads=1)))
    np.testing.assert_array_equal(batch.data[0].asnumpy()[0], wide[2:14, 4:16].transpose(2, 0, 1))


def windows(padded: np.ndarray) -> list[bytes]:
    """Every SIDE x SIDE window of padded (H, W, 3) pixels, mirrored and not."""
    spread = range(padded.shape[0] - SIDE + 1)
    crops = [padded[top : top + SIDE, left : left + SIDE] for top in spread for left in spread]
    return [np.ascontiguousarray(view).tobytes() for crop in crops for view in (crop, crop[:, ::-1])]


def test_crop_shifts_and_mirrors_within_the_padding(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, [(0, png(image(0, number))) for number in range(4)])
    padded = [np.pad(image(0, n), ((4, 4), (4, 4), (0, 0)), constant_values=iterators.FILL) for n in range(4)]
    possible = {view for pixels in padded for view in windows(pixels)}
    plain = {image(0, number).tobytes() for number in range(4)}
    seen = set()
    batches = iterators.training(channel, chosen(augmentation_type="crop"), threads=1)
    for _ in range(10):
        for batch in batches:
            for pixels in batch.data[0].asnumpy().astype(np.uint8):
                seen.add(np.ascontiguousarray(pixels.transpose(1, 2, 0)).tobytes())
        batches.reset()
    assert seen <= possible
    assert len(seen - plain) > 20


@pytest.mark.parametrize("kind", ["crop_color", "crop_color_transform"])
def test_stronger_augmentations_change_colours(tmp_path: Path, kind: str) -> None:
    channel = channel_of(tmp_path, [(0, png(np.full((SIDE, SIDE, 3), (150, 90, 60), np.uint8)))] * 8)
    batch = next(iterators.training(channel, chosen(augmentation_type=kind), threads=1))
    centre = batch.data[0].asnumpy()[:, :, SIDE // 2, SIDE // 2]
    assert np.ptp(centre, axis=0).max() > 15


def test_transform_turns_straight_edges(tmp_path: Path) -> None:
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[SIDE // 2 :] = 200
    channel = channel_of(tmp_path, [(0, png(half))] * 8)

    def has_slanted_edge(kind: str) -> bool:
        pixels = next(iterators.training(channel, chosen(augmentation_type=kind), threads=1)).data[0].asnumpy()
        inner = pixels[:, 0, 4:-4, 4:-4]
        return bool((np.ptp(inner, axis=2) > 25).any())

    assert has_slanted_edge("crop_color_transform")
    assert not has_slanted_edge("crop_color")


@pytest.mark.parametrize(
    ("side", "given", "expected"),
    [
        (12, {}, 0),
        (12, {"augmentation_type": "crop"}, 4),
        (13, {"augmentation_type": "crop"}, 0),
        (13, {"augmentation_type": "crop", "resize": "12"}, 4),
        (64, {"augmentation_type": "crop", "image_shape": "3,64,64"}, 8),
    ],
)
def test_padding_only_where_a_crop_needs_room(tmp_path: Path, side: int, given: dict[str, str], expected: int) -> None:
    channel = channel_of(tmp_path, samples(2, side=side))
    assert iterators.padding(channel, chosen(**given)) == expected
