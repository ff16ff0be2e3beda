"""Batches from a record file, through MXNet's ImageRecordIter.

Images are raw 0..255 RGB (N, 3, H, W), labels class indices (N), or (N, label_width) where records hold several.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

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


def training(
    channel: Channel, hyperparameters: Hyperparameters, *, threads: int, epoch: int, part: tuple[int, int] = (0, 1)
) -> mx.io.DataIter:
    """Shuffled, augmented batches of one epoch, all of them full: make a new iterator for every epoch.

    Order and augmentation depend on the hyperparameters' seed, the epoch and ``part`` alone, so a resumed job sees the
    batches of an undisturbed one. The last batch is filled with records of a second order. ``part`` is (rank, hosts):
    each host reads its own run of the records, and all have equally many batches, see `batches_per_epoch`. Like all
    of MXNet's, a batch is overwritten some batches later.

    `seed_aug` makes MXNet begin its random numbers anew for every image, at the image's place in the batch: without it
    they would depend on which thread takes which image. So a place has one crop during an epoch, and an image another
    in each epoch (9.3 different ones of 50 in 10 epochs, which is what independent draws give).
    """
    rank, hosts = part
    order_seed, augmentation_seed = _seeds(hyperparameters.seed, epoch, rank)
    with tempfile.TemporaryDirectory() as directory:
        # With an index MXNet shuffles the whole file, without one only within 64 MB.
        index = Path(directory) / "train.idx"
        index.write_text("".join(f"{number}\t{offset}\n" for number, offset in enumerate(channel.offsets)))
        batches = mx.io.ImageRecordIter(
            path_imgidx=str(index),
            batch_size=hyperparameters.mini_batch_size,
            shuffle=True,
            seed=order_seed,
            seed_aug=augmentation_seed,
            part_index=rank,
            num_parts=hosts,
            fill_value=FILL,
            pad=padding(channel, hyperparameters),
            **AUGMENTATIONS[hyperparameters.augmentation_type],
            **_common(channel, hyperparameters, threads),
        )
    if hosts == 1:
        return batches
    # The last host's run may be shorter: it begins anew, or the others would wait for it.
    return mx.io.ResizeIter(batches, batches_per_epoch(channel, hyperparameters, hosts=hosts))


def batches_per_epoch(channel: Channel, hyperparameters: Hyperparameters, *, hosts: int = 1) -> int:
    """Batches that every host takes in an epoch; the longest run of records decides."""
    return math.ceil(channel.shares(hosts)[0] / hyperparameters.mini_batch_size)


def _seeds(*numbers: int) -> tuple[int, int]:
    """Seeds of the order and of the augmentation, far apart: MXNet adds the place in the batch to the second."""
    order, augmentation = np.random.SeedSequence(numbers).generate_state(2)
    return int(order) >> 2, int(augmentation) >> 2  # MXNet's own are 31 bits wide


def validation(channel: Channel, hyperparameters: Hyperparameters, *, threads: int) -> mx.io.DataIter:
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
        "label_width": channel.label_width,
        "resize": -1 if hyperparameters.resize is None else hyperparameters.resize,
        "preprocess_threads": threads,
        "round_batch": True,
        "device_id": -1,
        "verbose": False,
    }
