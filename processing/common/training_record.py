"""Reads training.json, our trainer's account of a training job; models of the built-in image have none."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.archive import extract_files
from common.contract import ContainerError
from common.dataset import read_json

RECORD_NAME = "training.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch, the first is 0; ``train`` and ``validation`` map metric names to values, None where not finite."""

    epoch: int
    learning_rate: float
    seconds: float
    images_per_second: float
    data_wait_fraction: float
    train: dict[str, float | None]
    validation: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the training's health; ``epoch`` is where it fired, ``message`` is for a person."""

    name: str
    fired: bool
    epoch: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a training job ran with and how it went; ``best_params`` is the file of the epoch that it chose."""

    hyperparameters: dict[str, str]
    num_layers: int
    image_shape: tuple[int, int, int]
    best_epoch: int
    best_params: str
    selected_by: str
    base_channel: str | None
    epochs: list[Epoch]
    checks: list[Check]


def read_training_record(path: Path) -> TrainingRecord:
    """Read training.json; ContainerError with the field where it is not of schema 1."""
    content = read_json(path)
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {content['schema_version']!r}")
        record = _record(content)
        if record.best_epoch not in {entry.epoch for entry in record.epochs}:
            raise ValueError(f"best_epoch {record.best_epoch} is not among epochs")
    except KeyError as error:
        raise _malformed(f"it has no field {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _malformed(str(error)) from None
    return record


def training_record_of(archive: Path) -> TrainingRecord | None:
    """Read training.json out of a model.tar.gz, None where it holds none; errors as above and as `extract_files`."""
    with tempfile.TemporaryDirectory() as directory:
        found = extract_files(archive, Path(directory), wanted=RECORD_NAME.__eq__)
        return read_training_record(found[0]) if found else None


def _record(content: Any) -> TrainingRecord:
    channels, height, width = (int(side) for side in content["image_shape"])
    base = content["base_model"]
    return TrainingRecord(
        hyperparameters={str(name): str(value) for name, value in content["hyperparameters"].items()},
        num_layers=int(content["num_layers"]),
        image_shape=(channels, height, width),
        best_epoch=int(content["best_epoch"]),
        best_params=str(content["best_params"]),
        selected_by=str(content["selected_by"]),
        base_channel=None if base is None else str(base["channel"]),
        epochs=[_epoch(entry) for entry in content["epochs"]],
        checks=[_check(entry) for entry in content["checks"]],
    )


def _epoch(entry: Any) -> Epoch:
    return Epoch(
        epoch=int(entry["epoch"]),
        learning_rate=float(entry["learning_rate"]),
        seconds=float(entry["seconds"]),
        images_per_second=float(entry["images_per_second"]),
        data_wait_fraction=float(entry["data_wait_fraction"]),
        train=_metrics(entry["train"]),
        validation=_metrics(entry["validation"]),
    )


def _metrics(values: Any) -> dict[str, float | None]:
    return {str(name): _finite(value) for name, value in values.items()}


def _finite(value: Any) -> float | None:
    """Return a number, None for one that is missing or not finite: a diverged epoch must not break the report."""
    return None if value is None or not math.isfinite(value) else float(value)


def _check(entry: Any) -> Check:
    if not isinstance(entry["fired"], bool):
        raise ValueError(f"fired of a check must be true or false, got {entry['fired']!r}")
    epoch = entry["epoch"]
    return Check(
        name=str(entry["name"]),
        fired=entry["fired"],
        epoch=None if epoch is None else int(epoch),
        message=str(entry["message"]),
    )


def _malformed(what: str) -> ContainerError:
    return ContainerError(f"{RECORD_NAME} in the model's archive is malformed: {what}; train the model again")
