"""Reads what preprocessing wrote about a data set: dataset.json and labels.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.contract import ContainerError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The facts of a packed data set; ``image_shape`` is (channels, height, width), ``classes`` in label order."""

    classes: list[str]
    counts: dict[str, int]
    content_hash: str
    image_shape: tuple[int, int, int]
    resize: int


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; ContainerError where it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContainerError(f"{path} does not exist: this step needs the outputs of the step before it") from None
    except ValueError as error:
        raise ContainerError(f"{path} is not JSON: {error}") from None


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json and labels.json in ``folder``; ContainerError where a field is missing or they disagree."""
    path = folder / "dataset.json"
    content = read_json(path)
    try:
        channels, height, width = (int(side) for side in content["image_shape"])
        dataset = Dataset(
            classes=[str(name) for name in content["classes"]],
            counts={str(split): int(count) for split, count in content["counts"].items()},
            content_hash=str(content["content_hash"]),
            image_shape=(channels, height, width),
            resize=int(content["resize"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContainerError(f"{path} has no valid field {error}: run the preprocess step again") from None
    if read_json(folder / "labels.json") != dataset.classes:
        raise ContainerError(f"{folder}: labels.json and dataset.json name different classes: take both from one run")
    return dataset
