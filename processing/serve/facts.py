"""Reads what a packaged model says about itself: model.json and labels.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from common.contract import ContainerError

SCHEMA_VERSION = 1
COLORS = 3
NETWORK_NAME, FACTS_NAME, LABELS_NAME, SAMPLE_NAME = "model.onnx", "model.json", "labels.json", "sample.json"
CROPS = ("none", "square")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a served model takes and answers.

    ``image_shape`` is (3, height, width), ``resize`` the short side in pixels that an image is scaled to before its
    centre is cut out, ``labels`` the classes in the order of the probabilities. A threshold is the probability from
    which on a prediction can be accepted unseen; None where none is suggested.
    """

    image_shape: tuple[int, int, int]
    resize: int
    crop: Literal["none", "square"]
    convert_icc: bool
    labels: tuple[str, ...]
    multi_label: bool
    precision: str
    overall_threshold: float | None
    class_thresholds: tuple[float | None, ...]
    training_artifact_sha256: str

    def threshold(self, index: int) -> float | None:
        """Return the class's own threshold, else the one of all classes."""
        own = self.class_thresholds[index]
        return self.overall_threshold if own is None else own


def read_facts(folder: Path) -> Facts:
    """Read a packaged model's folder; ContainerError where a file is missing, or a field missing or wrong."""
    missing = [name for name in (NETWORK_NAME, FACTS_NAME, LABELS_NAME) if not (folder / name).is_file()]
    if missing:
        raise ContainerError(
            f"{folder} holds no {', '.join(missing)}: this is no packaged model; take the model.tar.gz that the "
            "Package step wrote into serving, not a training job's"
        )
    labels = _json(folder / LABELS_NAME)
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ContainerError(f"{folder / LABELS_NAME} must be a list of class names: package the model again")
    content = _json(folder / FACTS_NAME)
    try:
        return _facts(content, tuple(labels))
    except KeyError as error:
        raise ContainerError(f"{folder / FACTS_NAME} has no field {error}: package the model again") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ContainerError(f"{folder / FACTS_NAME} is malformed: {error}; package the model again") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"{path} is not JSON: {error}; package the model again") from None


def _facts(content: Any, labels: tuple[str, ...]) -> Facts:
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {content['schema_version']!r}")
    if content["classes"] != len(labels):
        raise ValueError(f"classes is {content['classes']}, {LABELS_NAME} names {len(labels)}")
    colors, height, width = (int(side) for side in content["image_shape"])
    if colors != COLORS or min(height, width) < 1:
        raise ValueError(f"image_shape must be [{COLORS}, height, width], got {content['image_shape']}")
    resize = int(content["resize"])
    if resize < max(height, width):
        raise ValueError(f"resize {resize} is smaller than the {height}x{width} that are cut out")
    crop = content.get("crop") or "none"
    if crop not in CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")
    thresholds = content["thresholds"]
    per_class = tuple(_threshold(value) for value in thresholds["per_class"])
    if len(per_class) != len(labels):
        raise ValueError(f"thresholds.per_class has {len(per_class)} entries for {len(labels)} classes")
    return Facts(
        image_shape=(colors, height, width),
        resize=resize,
        crop=cast(Literal["none", "square"], crop),
        convert_icc=bool(content.get("convert_icc", False)),
        labels=labels,
        multi_label=bool(content["multi_label"]),
        precision=str(content["precision"]),
        overall_threshold=_threshold(thresholds["overall"]),
        class_thresholds=per_class,
        training_artifact_sha256=str(content["training_artifact_sha256"]),
    )


def _threshold(value: Any) -> float | None:
    return None if value is None else float(value)
