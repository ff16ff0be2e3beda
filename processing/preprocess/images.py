"""Writes image files instead of records: the built-in algorithm's image format, or its augmented manifest.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html, "Train with Image Format" and "Train
with Augmented Manifest Image Format".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from common.contract import ContainerError
from common.files import AtomicFiles
from common.lists import list_bytes
from preprocess.divide import Division
from preprocess.image_names import ImageNames
from preprocess.layout import Layout
from preprocess.pool import Payloads
from preprocess.settings import SPLITS, Settings


def write_images(
    files: AtomicFiles, layout: Layout, division: Division, segments: Sequence[Path], settings: Settings
) -> set[Path]:
    """Write each split's images below a folder of its name, and the list or manifest that names them.

    The list is ``<split>_lst/<split>.lst``, as the channels of the built-in algorithm want it; the manifest
    ``<split>.manifest``, with images below ``s3_uri``/<split>. Returns the paths of lists or manifests. ContainerError
    for a manifest of images with several labels.
    """
    if settings.output == "augmented-manifest" and any(len(item.labels) > 1 for item in division.items):
        raise ContainerError(
            "an augmented manifest holds one label per image, these have several: choose the output recordio or image"
        )
    _check_folders(layout, division)
    written: set[Path] = set()
    with Payloads(segments) as payloads:
        for split in SPLITS:
            names = _write_folder(files, layout, division, split, payloads)
            if not names:
                continue
            rows = [division.items[position].labels for position in division.positions(split)]
            if settings.output == "image":
                path = layout.image_list(split)
                content = list_bytes(
                    (id_, labels, name) for id_, (labels, name) in enumerate(zip(rows, names, strict=True))
                )
            else:
                path = layout.manifest(split)
                prefix = f"{settings.s3_uri.rstrip('/')}/{split}"
                content = b"".join(
                    _manifest_line(f"{prefix}/{name}", labels) for labels, name in zip(rows, names, strict=True)
                )
            files.open(path).write(content)
            written.add(path)
    return written


def _check_folders(layout: Layout, division: Division) -> None:
    """Refuse to replace folders that an earlier run did not write, which might be somebody's only copy of images."""
    ours = layout.image_splits()
    for split in SPLITS:
        folder = layout.images(split)
        if split in ours or not division.positions(split):
            continue
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise ContainerError(f"{folder} is there already and was not written by a whole run: choose another folder")


def _write_folder(files: AtomicFiles, layout: Layout, division: Division, split: str, payloads: Payloads) -> list[str]:
    """Write a split's images into a new folder that takes its place with the other files; returns their names."""
    folder = layout.work / split
    positions = division.positions(split)
    naming = ImageNames(division.items[position].path for position in positions)
    names: list[str] = []
    for position in positions:
        payload = payloads.read(division.entries[position])
        name = naming.name(division.items[position].path, payload)
        names.append(name)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    if names:
        files.adopt(folder, layout.images(split))
    return names


def _manifest_line(uri: str, labels: Sequence[float]) -> bytes:
    return (json.dumps({"source-ref": uri, "class": f"{int(labels[0])}"}) + "\n").encode()
