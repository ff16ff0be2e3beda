"""Packs a data folder into train, validation and test records: the library behind the container."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2

from common.contract import ContainerError
from common.files import AtomicFiles
from common.recordio import Header, RecordWriter, list_bytes
from preprocess import manifest
from preprocess.decode import UnreadableImage, read_image
from preprocess.encode import encode_image
from preprocess.parallel import ordered_map
from preprocess.scan import Item, Rejection, scan
from preprocess.settings import Settings
from preprocess.split import SPLITS, in_hash_order, sample_per_class, split_items

SPOOL_IN_MEMORY_BYTES = 64 * 1024**2
NAMED_IN_ERROR = 5


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One worker's result: the encoded image, or the reason why there is none; ``digest`` of the source file."""

    item: Item
    payload: bytes = b""
    digest: str = ""
    rejection: Rejection | None = None


@dataclass(frozen=True, kw_only=True)
class Spool:
    """Encoded images waiting for the split, which can only be exact once the unreadable ones are known."""

    file: IO[bytes]
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, packed: Packed) -> None:
        """Append one encoded image."""
        self.spans[packed.item.path] = (self.file.tell(), len(packed.payload))
        self.digests[packed.item.path] = packed.digest
        self.file.write(packed.payload)

    def read(self, item: Item) -> bytes:
        """Return the encoded image of ``item``."""
        start, length = self.spans[item.path]
        self.file.seek(start)
        return self.file.read(length)


def pack(source: Path, destination: Path, settings: Settings) -> dict[str, Any]:
    """Pack the class folders in ``source``; returns the content of dataset.json.

    Writes ``train/train.rec``, ``validation/validation.rec``, ``test/test.rec`` and ``dataset/`` (dataset.json,
    labels.json, rejected.csv, and an .idx and .lst per split) below ``destination``: all of them or, on an error, none.
    A split of fraction 0 gets a folder without a file. Equal images and settings give equal bytes.
    """
    cv2.setNumThreads(1)
    listing = scan(source)
    ordered = sample_per_class(in_hash_order(listing.items, settings.seed), images_per_class=settings.images_per_class)
    _split(ordered, listing.classes, settings)  # a class that is too small fails before the long work, not after
    rejections = list(listing.rejections)
    (destination / "dataset").mkdir(parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY_BYTES, dir=str(destination / "dataset")) as file:
        spool = Spool(file=file)
        for packed in _encoded(source, ordered, settings):
            if packed.rejection:
                rejections.append(packed.rejection)
            else:
                spool.add(packed)
        rejections.sort(key=lambda rejection: rejection.path)
        _check_rejections(rejections, len(ordered) + len(listing.rejections), settings)
        splits = _split([item for item in ordered if item.path in spool.spans], listing.classes, settings)
        dataset = manifest.dataset(
            listing=listing, splits=splits, digests=spool.digests, rejected=len(rejections), settings=settings
        )
        _write(destination, splits, spool, dataset, rejections)
    return dataset


def _split(items: list[Item], classes: list[str], settings: Settings) -> dict[str, list[Item]]:
    return split_items(
        items,
        classes=classes,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
    )


def _encoded(source: Path, items: list[Item], settings: Settings) -> Iterator[Packed]:
    def encode(item: Item) -> Packed:
        return _encode_file(source / item.path, item, settings)

    return ordered_map(encode, items, threads=settings.threads)


def _encode_file(path: Path, item: Item, settings: Settings) -> Packed:
    data = b""
    try:
        data = path.read_bytes()
        pixels = read_image(data, short_side=settings.resize)
    except UnreadableImage as error:
        return Packed(item=item, rejection=Rejection(path=item.path, reason=str(error), size=len(data)))
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        return Packed(item=item, rejection=Rejection(path=item.path, reason=reason, size=0))
    payload = encode_image(pixels, record_format=settings.record_format, quality=settings.quality)
    return Packed(item=item, payload=payload, digest=hashlib.sha256(data).hexdigest())


def _check_rejections(rejections: list[Rejection], total: int, settings: Settings) -> None:
    allowed = settings.max_rejected_fraction
    if not rejections or len(rejections) <= allowed * total:
        return
    named = "; ".join(f"{rejection.path}: {rejection.reason}" for rejection in rejections[:NAMED_IN_ERROR])
    more = f"; and {len(rejections) - NAMED_IN_ERROR} more" if len(rejections) > NAMED_IN_ERROR else ""
    raise ContainerError(
        f"{len(rejections)} of {total} images cannot be used, more than --max-rejected-fraction {allowed} allows: "
        f"{named}{more}; repair or remove them, or raise the fraction"
    )


def _write(
    destination: Path,
    splits: dict[str, list[Item]],
    spool: Spool,
    dataset: dict[str, Any],
    rejections: list[Rejection],
) -> None:
    with AtomicFiles() as files:
        for split in SPLITS:
            (destination / split).mkdir(parents=True, exist_ok=True)
            if splits[split]:
                _write_split(files, destination, split, splits[split], spool)
        for name, content in manifest.files(dataset, rejections).items():
            files.open(destination / "dataset" / name).write(content)


def _write_split(files: AtomicFiles, destination: Path, split: str, items: list[Item], spool: Spool) -> None:
    writer = RecordWriter(files.open(destination / split / f"{split}.rec"))
    for id_, item in enumerate(items):
        writer.write(Header((float(item.label),), id_), spool.read(item))
    rows = [(id_, float(item.label), item.path) for id_, item in enumerate(items)]
    files.open(destination / "dataset" / f"{split}.idx").write(writer.index_bytes())
    files.open(destination / "dataset" / f"{split}.lst").write(list_bytes(rows))
