"""The records of a channel: finds or packs them, reads through them once, checks them against the hyperparameters."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.contract import ContainerError
from common.recordio import read_records
from train import image_lists
from train.hyperparameters import Hyperparameters


class Channel(NamedTuple):
    """A checked record file: where each record starts (bytes), its labels, the smallest (height, width).

    ``labels`` holds a class index per record, or, where records have several labels (``label_width`` of them), a tuple
    of 0 and 1 per record, one number for each class.
    """

    name: str
    path: Path
    offsets: tuple[int, ...]
    labels: tuple[int, ...] | tuple[tuple[int, ...], ...]
    smallest: tuple[int, int]
    label_width: int

    @property
    def records(self) -> int:
        """Number of records in the file."""
        return len(self.offsets)

    def shares(self, hosts: int) -> tuple[int, int]:
        """Number of records of each host but the last, and of the last, as MXNet divides a file."""
        share = -(-self.records // hosts)
        return share, max(0, self.records - share * (hosts - 1))

    def images_per_class(self, num_classes: int) -> np.ndarray:
        """How many images show each class (num_classes); an image with several labels counts for each of them."""
        if self.label_width > 1:
            return np.sum(self.labels, axis=0)
        return np.bincount(self.labels, minlength=num_classes)


def load(name: str, data: Path, *, scratch: Path, threads: int) -> Channel:
    """Read a channel in either format; ``data`` holds a folder for each channel of the job.

    With a channel <name>_lst the channel holds image files: those on its list are packed into ``scratch``, which must
    last as long as the channel is used. Errors as `read` and `image_lists.pack`.
    """
    lists = data / f"{name}_lst"
    if not lists.is_dir():
        return read(name, data / name)
    _check_directory(name, data / name)
    image_list = image_lists.find_list(lists.name, lists)
    # Called like the list, which is what messages about the channel should name.
    packed = scratch / name / image_list.name
    packed.parent.mkdir(parents=True, exist_ok=True)
    image_lists.pack(image_list, data / name, packed, threads=threads)
    return _read_file(name, packed)


def read(name: str, directory: Path) -> Channel:
    """Read header and image size of every record of the channel's one .rec file.

    ContainerError where there is no such file, or a record is no labelled image.
    """
    _check_directory(name, directory)
    return _read_file(name, _record_file(name, directory))


def _read_file(name: str, path: Path) -> Channel:
    offsets, labels, sizes = [], [], []
    width = 1
    for number, record in enumerate(read_records(path)):
        found = record.header.labels
        width = len(found) if number == 0 else width
        if len(found) != width:
            raise ContainerError(
                f"{path.name}: record {number} has {len(found)} labels, record 0 has {width}; pack equally many"
            )
        where = f"{path.name}: record {number}"
        offsets.append(record.offset)
        labels.append(_class_index(where, found[0]) if width == 1 else _class_flags(where, found))
        sizes.append(_size(where, record.payload))
    if not offsets:
        raise ContainerError(f"channel {name}: {path.name} has no records; pack at least one image")
    smallest = (min(height for height, _ in sizes), min(width for _, width in sizes))
    return Channel(name, path, tuple(offsets), tuple(labels), smallest, width)


def check(train: Channel, validation: Channel, hyperparameters: Hyperparameters, *, hosts: int = 1) -> None:
    """Refuse channels that do not fit num_training_samples, num_classes, mini_batch_size or image_shape.

    Each of several hosts trains on its share of the records, and needs a full batch there.
    """
    declared, found = hyperparameters.num_training_samples, train.records
    if declared != found:
        raise ContainerError(
            f"num_training_samples is {declared}, but {train.path.name} holds {found} records; set it to {found}"
        )
    _check_batch(train, hyperparameters.mini_batch_size, hosts)
    for channel in (train, validation):
        _check_labels(channel, hyperparameters)
        _check_size(channel, hyperparameters)


def _check_batch(train: Channel, batch: int, hosts: int) -> None:
    smallest = train.shares(hosts)[-1]
    if smallest >= batch:
        return
    if hosts == 1:
        raise ContainerError(
            f"mini_batch_size is {batch}, but channel train holds {smallest} records; "
            f"lower mini_batch_size to {smallest} or less"
        )
    raise ContainerError(
        f"mini_batch_size is {batch}, but of the {train.records} records of channel train one of {hosts} hosts gets "
        f"{smallest}; lower mini_batch_size or the number of instances"
    )


def _check_labels(channel: Channel, hyperparameters: Hyperparameters) -> None:
    num_classes, width = hyperparameters.num_classes, channel.label_width
    if hyperparameters.multi_label:
        if width != num_classes:
            raise ContainerError(
                f"multi_label is 1 and num_classes is {num_classes}, but channel {channel.name} holds "
                f"{_labels(width)} per image; pack one 0 or 1 for each class, or set multi_label to 0"
            )
        return
    if width > 1:
        raise ContainerError(
            f"multi_label is 0, but channel {channel.name} holds {_labels(width)} per image; set multi_label to 1 and "
            f"num_classes to {width}, or pack one label per image"
        )
    highest = max(channel.labels)
    if highest >= num_classes:
        raise ContainerError(
            f"num_classes is {num_classes}, but channel {channel.name} holds label {highest}; "
            f"labels run from 0 to num_classes - 1, set num_classes to at least {highest + 1}"
        )


def _labels(width: int) -> str:
    return f"{width} label{'s' if width > 1 else ''}"


def _check_size(channel: Channel, hyperparameters: Hyperparameters) -> None:
    _, height, width = hyperparameters.image_shape
    if hyperparameters.resize is None and (channel.smallest[0] < height or channel.smallest[1] < width):
        raise ContainerError(
            f"image_shape is 3,{height},{width}, but channel {channel.name} holds images down to "
            f"{channel.smallest[0]}x{channel.smallest[1]} (height x width); pack larger images, lower image_shape, "
            "or set resize"
        )


def _check_directory(name: str, directory: Path) -> None:
    if not directory.is_dir():
        raise ContainerError(f"channel {name} is missing: no directory {directory}; give the job this channel")


def _record_file(name: str, directory: Path) -> Path:
    found = sorted(directory.glob("*.rec"))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise ContainerError(
            f"channel {name} needs exactly one .rec file in {directory}, found {listed}; "
            f"for image files give the job a channel {name}_lst with their list too"
        )
    return found[0]


def _class_index(where: str, label: float) -> int:
    if label < 0 or not float(label).is_integer():
        raise ContainerError(f"{where} has label {label}; a label is a class index 0, 1, 2, ...")
    return int(label)


def _class_flags(where: str, labels: tuple[float, ...]) -> tuple[int, ...]:
    for number, label in enumerate(labels):
        if label not in (0, 1):
            raise ContainerError(f"{where} has {label} for class {number}; of several labels each is 0 or 1")
    return tuple(map(int, labels))


def _size(where: str, payload: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(payload)) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError):
        raise ContainerError(f"{where} is no readable image; pack jpg or png files") from None
