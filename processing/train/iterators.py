"""Batches from a record file: raw 0..255 RGB (N, 3, H, W) and class indices (N), through MXNet's ImageRecordIter."""

import tempfile
from pathlib import Path
from typing import Any

import mxnet as mx

from train.channels import Channel
from train.hyperparameters import Hyperparameters

# Neutral grey: far less visible to the network in a padded or rotated corner than MXNet's default white.
FILL = 127
CROP = {"rand_crop": True, "rand_mirror": True}
# Ranges from the documentation of augmentation_type; MXNet's lightness is the documentation's L of HSL.
COLOR = {"random_h": 36, "random_s": 50, "random_l": 50}
TRANSFORM = {"max_rotate_angle": 10, "max_shear_ratio": 0.1, "max_aspect_ratio": 0.25}
AUGMENTATIONS: dict[str | None, dict[str, Any]] = {
    None: {},
    "crop": CROP,
    "crop_color": CROP | COLOR,
    "crop_color_transform": CROP | COLOR | TRANSFORM,
}


def training(channel: Channel, hyperparameters: Hyperparameters, *, threads: int) -> mx.io.MXDataIter:
    """Shuffled, augmented batches, all of them full: `reset()` starts the next pass in a new order.

    The last batch of a pass is filled from the next pass, which then starts behind those records, so over the passes
    every record is used equally often. MXNet's augmentation starts from the same random state in every process.
    `seed_aug` is left out on purpose: it starts that state again for every batch, so each pass would repeat the same
    few crops (16 instead of 73 different ones in 20 passes over 4 images).
    """
    with tempfile.TemporaryDirectory() as directory:
        # With an index MXNet shuffles the whole file, without one only within 64 MB.
        index = Path(directory) / "train.idx"
        index.write_text("".join(f"{number}\t{offset}\n" for number, offset in enumerate(channel.offsets)))
        return mx.io.ImageRecordIter(
            path_imgidx=str(index),
            batch_size=hyperparameters.mini_batch_size,
            shuffle=True,
            seed=hyperparameters.seed,
            fill_value=FILL,
            pad=padding(channel, hyperparameters),
            **AUGMENTATIONS[hyperparameters.augmentation_type],
            **_common(channel, hyperparameters, threads),
        )


def validation(channel: Channel, hyperparameters: Hyperparameters, *, threads: int) -> mx.io.MXDataIter:
    """One pass in file order with centre crops; the last batch has `pad` records too many at its end.

    Make a new one for every pass: after `reset()` MXNet would start behind the records that filled the last batch.
    """
    return mx.io.ImageRecordIter(
        batch_size=validation_batch_size(channel, hyperparameters), **_common(channel, hyperparameters, threads)
    )


def validation_batch_size(channel: Channel, hyperparameters: Hyperparameters) -> int:
    """Images per validation batch; MXNet's iterator refuses a batch larger than the file."""
    return min(hyperparameters.mini_batch_size, channel.records)


def padding(channel: Channel, hyperparameters: Hyperparameters) -> int:
    """Pixels to put around training images so that a random crop has room to move.

    None where every record is larger than image_shape already. Else an eighth of the shorter side, which is the usual
    4 at 32x32 (He et al., arXiv:1512.03385, section 4.2), and 4 at least.
    """
    if hyperparameters.augmentation_type is None:
        return 0
    _, height, width = hyperparameters.image_shape
    resize = hyperparameters.resize
    smallest_height, smallest_width = (resize, resize) if resize is not None else channel.smallest
    if smallest_height > height and smallest_width > width:
        return 0
    return max(4, min(height, width) // 8)


def _common(channel: Channel, hyperparameters: Hyperparameters, threads: int) -> dict[str, Any]:
    return {
        "path_imgrec": str(channel.path),
        "data_shape": hyperparameters.image_shape,
        "resize": -1 if hyperparameters.resize is None else hyperparameters.resize,
        "preprocess_threads": threads,
        "round_batch": True,
        "device_id": -1,
        "verbose": False,
    }
