"""Reads of an evaluation what packaging hands on: the report and the suggested thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.contract import ContainerError
from common.dataset import Dataset, read_json
from evaluate.thresholds import Thresholds


def read_thresholds(folder: Path, dataset: Dataset) -> tuple[dict[str, Any], float]:
    """Return the thresholds of evaluation.json in ``folder`` in the form of model.json, and the precision they aim at.

    ContainerError where the file is missing, belongs to other classes than ``dataset``, or lacks a field.
    """
    path = folder / "evaluation.json"
    content = read_json(path)
    if not isinstance(content, dict) or content.get("classes") != dataset.classes:
        raise ContainerError(f"{folder}: evaluation.json and dataset.json name different classes; take one run's")
    try:
        found = content["thresholds"]
        per_class = [_threshold(entry) for entry in found["per_class"]]
        thresholds = {"overall": _threshold(found["overall"]), "per_class": per_class}
        precision = float(found["precision"])
    except (KeyError, TypeError, ValueError) as error:
        raise ContainerError(f"{path} has no valid field {error}: run the evaluation again") from None
    if len(per_class) != len(dataset.classes):
        raise ContainerError(
            f"{path} has thresholds for {len(per_class)} classes, the data set has {len(dataset.classes)}: run the "
            "evaluation again"
        )
    return thresholds, precision


def thresholds_of(found: Thresholds) -> dict[str, Any]:
    """Return suggested thresholds in the form of model.json: None where there is no suggestion."""
    return {"overall": found.overall.threshold, "per_class": [entry.threshold for entry in found.per_class]}


def read_report(folder: Path) -> str:
    """Return the page that the evaluation wrote; ContainerError where there is none."""
    path = folder / "report.html"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ContainerError(f"{path} does not exist: this step needs the outputs of the steps before it") from None


def _threshold(entry: Any) -> float | None:
    value = entry["threshold"]
    return None if value is None else float(value)
