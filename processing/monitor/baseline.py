"""What the live version was tested on: baseline.json, and what its served model says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from common.contract import ContainerError
from common.dataset import read_json

SCHEMA_VERSION = 1
COMPARED_IMAGES = ("brightness", "contrast", "aspect")


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A test set in numbers; ``resize`` 0 leaves images as they are, ``accuracy`` is None where nothing tells it."""

    num_images: int
    classes: list[str]
    resize: int
    crop: Literal["none", "square"]
    multi_label: bool
    accuracy: float | None
    predicted: npt.NDArray[np.int64]
    confidence: dict[str, Any]
    images: dict[str, dict[str, Any]]
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]


def read_baseline(folder: Path) -> Baseline:
    """Read baseline.json, and model.json and evaluation.json where they are; they may lie in folders below.

    ContainerError where baseline.json is missing, of another schema, or lacks a field.
    """
    path = _one(folder, "baseline.json")
    if path is None:
        raise ContainerError(f"{folder} holds no baseline.json: give the package folder of the live model version")
    content = read_json(path)
    model, evaluation = _optional(folder, "model.json"), _optional(folder, "evaluation.json")
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise ContainerError(f"{path} has schema {content['schema_version']}, this program reads {SCHEMA_VERSION}")
        predictions, embedding = content["predictions"], content["embedding"]
        several = sum(predictions["counts"]) != content["num_images"]
        multi_label = bool(model.get("multi_label", evaluation.get("multi_label", several)))
        return Baseline(
            num_images=int(content["num_images"]),
            classes=[str(name) for name in content["classes"]],
            resize=int(content["resize"]),
            crop="square" if model.get("crop") == "square" else "none",
            multi_label=multi_label,
            accuracy=_accuracy(model, evaluation, multi_label=multi_label),
            predicted=np.array(predictions["counts"], np.int64),
            confidence=dict(predictions["confidence"]),
            images={name: dict(content["images"][name]) for name in COMPARED_IMAGES},
            mean=np.array(embedding["mean"], np.float64),
            covariance=np.array(embedding["covariance"], np.float64),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContainerError(f"{path} lacks or misstates {error}: package the model version again") from None


def _one(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.rglob(name))), None)


def _optional(folder: Path, name: str) -> dict[str, Any]:
    path = _one(folder, name)
    return dict(read_json(path)) if path else {}


def _accuracy(model: dict[str, Any], evaluation: dict[str, Any], *, multi_label: bool) -> float | None:
    """Return the share of test images that were right; of several labels the files count answers, not images."""
    found = model.get("accuracy")
    if found is None:
        found = evaluation.get("metrics", {}).get("accuracy", {}).get("value")
    return None if multi_label or found is None else float(found)
