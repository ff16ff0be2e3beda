"""The RecordIO file of a channel: finds it, reads through it once, and checks it against the hyperparameters."""

import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from common.contract import ContainerError
from common.recordio import Record, read_records
from train.hyperparameters import Hyperparameters


class Channel(NamedTuple):
    """A checked record file: where each record starts (bytes), the class indices, the smallest (height, width)."""

    name: str
    path: Path
    offsets: tuple[int, ...]
    labels: tuple[int, ...]
    smallest: tuple[int, int]

    @property
    def records(self) -> int:
        """Number of records in the file."""
        return len(self.offsets)


def read(name: str, directory: Path) -> Channel:
    """Read every record's header and image size; ContainerError where a record is no single-label image."""
    path = _record_file(name, directory)
    offsets, labels, sizes = [], [], []
    for number, record in enumerate(read_records(path)):
        offsets.append(record.offset)
        labels.append(_label(path, number, record))
        sizes.append(_size(path, number, record.payload))
    if not offsets:
        raise ContainerError(f"channel {name}: {path.name} has no records; pack at least one image")
    smallest = (min(height for height, _ in sizes), min(width for _, width in sizes))
    return Channel(name, path, tuple(offsets), tuple(labels), smallest)


def check(train: Channel, validation: Channel, hyperparameters: Hyperparameters) -> None:
    """Refuse channels that do not fit num_training_samples, num_classes, mini_batch_size or image_shape."""
    declared, found = hyperparameters.num_training_samples, train.records
    if declared != found:
        raise ContainerError(
            f"num_training_samples is {declared}, but {train.path.name} holds {found} records; set it to {found}"
        )
    if found < hyperparameters.mini_batch_size:
        raise ContainerError(
            f"mini_batch_size is {hyperparameters.mini_batch_size}, but channel train holds {found} records; "
            f"lower mini_batch_size to {found} or less"
        )
    for channel in (train, validation):
        _check_labels(channel, hyperparameters.num_classes)
        _check_size(channel, hyperparameters)


def _check_labels(channel: Channel, num_classes: int) -> None:
    highest = max(channel.labels)
    if highest >= num_classes:
        raise ContainerError(
            f"num_classes is {num_classes}, but channel {channel.name} holds label {highest}; "
            f"labels run from 0 to num_classes - 1, set num_classes to at least {highest + 1}"
        )


def _check_size(channel: Channel, hyperparameters: Hyperparameters) -> None:
    _, height, width = hyperparameters.image_shape
    if hyperparameters.resize is None and (channel.smallest[0] < height or channel.smallest[1] < width):
        raise ContainerError(
            f"image_shape is 3,{height},{width}, but channel {channel.name} holds images down to "
            f"{channel.smallest[0]}x{channel.smallest[1]} (height x width); pack larger images, lower image_shape, "
            "or set resize"
        )


def _record_file(name: str, directory: Path) -> Path:
    if not directory.is_dir():
        raise ContainerError(f"channel {name} is missing: no directory {directory}; give the job this channel")
    found = sorted(directory.glob("*.rec"))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise ContainerError(f"channel {name} needs exactly one .rec file in {directory}, found {listed}")
    return found[0]


def _label(path: Path, number: int, record: Record) -> int:
    width = len(record.header.labels)
    if width != 1:
        raise ContainerError(
            f"{path.name}: record {number} has {width} labels; multi_label is not available in the own image, "
            "pack one label per image"
        )
    label = record.header.label
    if label < 0 or not float(label).is_integer():
        raise ContainerError(f"{path.name}: record {number} has label {label}; a label is a class index 0, 1, 2, ...")
    return int(label)


def _size(path: Path, number: int, payload: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(payload)) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError):
        raise ContainerError(f"{path.name}: record {number} is no readable image; pack jpg or png files") from None
