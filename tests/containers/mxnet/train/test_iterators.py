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


def at(epoch: int) -> dict[str, int]:
    return {"epoch": epoch, "threads": 1}


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
def test_training_batches_are_full_and_hold_every_record(tmp_path: Path, count: int) -> None:
    channel = numbered(tmp_path, count)
    for epoch in range(3):
        labels = [batch.label[0].asnumpy().astype(int) for batch in iterators.training(channel, chosen(), **at(epoch))]
        assert [len(batch) for batch in labels] == [4] * iterators.batches_per_epoch(channel, chosen())
        seen = Counter(np.concatenate(labels).tolist())
        assert set(seen) == set(range(count))
        assert max(seen.values()) <= 2


def test_the_order_depends_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    channel = numbered(tmp_path, 40)

    def order(seed: str, epoch: int) -> list[int]:
        return one_pass(iterators.training(channel, chosen(seed=seed), **at(epoch)))

    orders = {(seed, epoch): order(seed, epoch) for seed in ("0", "1") for epoch in range(3)}
    assert all(sorted(labels) == list(range(40)) for labels in orders.values())
    assert len({tuple(labels) for labels in orders.values()}) == 6
    assert order("1", 2) == orders["1", 2]


def test_the_last_seed_works(tmp_path: Path) -> None:
    channel = numbered(tmp_path, 8)
    assert sorted(one_pass(iterators.training(channel, chosen(seed="2147483647"), **at(10_000)))) == list(range(8))


@pytest.mark.parametrize(("count", "hosts", "batches"), [(40, 2, 5), (41, 2, 6), (16, 3, 2)])
def test_hosts_share_the_records_and_have_equally_many_batches(
    tmp_path: Path, count: int, hosts: int, batches: int
) -> None:
    channel = numbered(tmp_path, count)
    assert iterators.batches_per_epoch(channel, chosen(), hosts=hosts) == batches
    shares: list[list[int]] = []
    for rank in range(hosts):
        labels = [
            batch.label[0].asnumpy() for batch in iterators.training(channel, chosen(), **at(1), part=(rank, hosts))
        ]
        assert [len(of_batch) for of_batch in labels] == [4] * batches
        shares.append(np.concatenate(labels).astype(int).tolist())
    assert sum(len(set(share)) for share in shares) == count
    assert set().union(*shares) == set(range(count))


def test_several_labels_of_an_image_stay_together(tmp_path: Path) -> None:
    flags = [(1, 0, 1), (0, 1, 0), (0, 0, 0), (1, 1, 1)]
    channel = channel_of(tmp_path, [(of, png(image(0, n))) for n, of in enumerate(flags)])
    batch = next(iterators.training(channel, chosen(), **at(0)))
    assert batch.label[0].shape == (4, 3)
    pictures = {image(0, number).transpose(2, 0, 1).tobytes(): of for number, of in enumerate(flags)}
    for pixels, of in zip(batch.data[0].asnumpy().astype(np.uint8), batch.label[0].asnumpy(), strict=True):
        assert pictures[pixels.tobytes()] == tuple(of)


def test_images_are_raw_rgb(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, samples(3))
    batch = next(iter(iterators.validation(channel, chosen(), threads=1)))
    expected = np.stack([image(label, label) for label in range(3)]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch.data[0].asnumpy(), expected)
    reddest = batch.data[0].asnumpy()[0].reshape(3, -1).max(axis=1)
    assert reddest[0] > COLORS[0][0] - 30 > reddest[2]


def test_without_augmentation_training_images_are_the_records(tmp_path: Path) -> None:
    channel = channel_of(tmp_path, samples(4))
    batch = next(iterators.training(channel, chosen(), **at(0)))
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
    for epoch in range(20):
        for batch in iterators.training(channel, chosen(augmentation_type="crop"), **at(epoch)):
            for pixels in batch.data[0].asnumpy().astype(np.uint8):
                seen.add(np.ascontiguousarray(pixels.transpose(1, 2, 0)).tobytes())
    assert seen <= possible
    assert len(seen - plain) > 40


def test_augmentation_differs_by_image_and_epoch_and_comes_again(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    channel = channel_of(tmp_path, [(number, png(ramp)) for number in range(8)])

    def crops(epoch: int) -> dict[int, bytes]:
        (batch,) = iterators.training(channel, chosen(augmentation_type="crop", mini_batch_size="8"), **at(epoch))
        return {
            int(label): pixels.tobytes()
            for label, pixels in zip(batch.label[0].asnumpy(), batch.data[0].asnumpy(), strict=True)
        }

    epochs = [crops(epoch) for epoch in range(12)]
    assert crops(7) == epochs[7]
    assert all(len(set(of_epoch.values())) >= 5 for of_epoch in epochs)
    assert all(len({of_epoch[number] for of_epoch in epochs}) >= 7 for number in range(8))


@pytest.mark.parametrize("kind", ["crop_color", "crop_color_transform"])
def test_stronger_augmentations_change_colours(tmp_path: Path, kind: str) -> None:
    channel = channel_of(tmp_path, [(0, png(np.full((SIDE, SIDE, 3), (150, 90, 60), np.uint8)))] * 8)
    batch = next(iterators.training(channel, chosen(augmentation_type=kind), **at(0)))
    centre = batch.data[0].asnumpy()[:, :, SIDE // 2, SIDE // 2]
    assert np.ptp(centre, axis=0).max() > 15


def test_transform_turns_straight_edges(tmp_path: Path) -> None:
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[SIDE // 2 :] = 200
    channel = channel_of(tmp_path, [(0, png(half))] * 8)

    def has_slanted_edge(kind: str) -> bool:
        pixels = next(iterators.training(channel, chosen(augmentation_type=kind), **at(0))).data[0].asnumpy()
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
