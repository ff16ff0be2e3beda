"""Collects a model version: the artifact with its scores, labels and provenance, all of them or none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.contract import ContainerError
from common.dataset import read_dataset, read_json
from common.files import AtomicFiles, json_bytes
from common.training_record import TrainingRecord, training_record_of

SCHEMA_VERSION = 1
CHUNK_BYTES = 1 << 20
# Models of the built-in image come without training.json.
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a later training job that starts from a model must agree with, as texts: "20" and "3,64,64"."""

    num_layers: str = UNKNOWN
    image_shape: str = UNKNOWN


def bundle(
    *, model: Path, evaluation: Path, dataset: Path, destination: Path, network: Network | None = None
) -> dict[str, object]:
    """Write model.tar.gz with what is known about it, and package.json, whose content is returned.

    Beside them lie evaluation.json, report.html, baseline.json, labels.json and dataset.json. ``model``, ``evaluation``
    and ``dataset`` are the folders of the steps before; ``network`` is what the training job was asked for, and counts
    where the artifact has no record of its training. ContainerError where a file is missing, the artifact is unsafe or
    damaged, or the scores belong to other classes than the data set.
    """
    facts = read_dataset(dataset)
    scored = read_json(evaluation / "evaluation.json")
    if not isinstance(scored, dict) or scored.get("classes") != facts.classes:
        raise ContainerError(f"{evaluation}: evaluation.json and dataset.json name different classes; take one run's")
    archive = model / "model.tar.gz"
    # Reads the archive to its end, so that it is checked to be whole and safe before it is registered.
    training = training_record_of(archive)
    with AtomicFiles() as files:
        digest = _copy(archive, files.open(destination / archive.name))
        for path in _companions(evaluation, dataset):
            _copy(path, files.open(destination / path.name))
        content: dict[str, object] = {
            "schema_version": SCHEMA_VERSION,
            "training_artifact_sha256": digest,
            "content_hash": facts.content_hash,
            "num_classes": len(facts.classes),
            **_trained_with(training, network or Network()),
        }
        files.open(destination / "package.json").write(json_bytes(content))
    return content


def _companions(evaluation: Path, dataset: Path) -> list[Path]:
    return [
        evaluation / "evaluation.json",
        evaluation / "report.html",
        evaluation / "baseline.json",
        dataset / "labels.json",
        dataset / "dataset.json",
    ]


def _trained_with(training: TrainingRecord | None, asked_for: Network) -> dict[str, object]:
    if training is None:
        return {"hyperparameters": {}, "image_shape": asked_for.image_shape, "num_layers": asked_for.num_layers}
    return {
        "hyperparameters": training.hyperparameters,
        "image_shape": ",".join(map(str, training.image_shape)),
        "num_layers": str(training.num_layers),
    }


def _copy(source: Path, target: IO[bytes]) -> str:
    """Copy a file and return the SHA-256 of exactly the bytes that were copied."""
    digest = hashlib.sha256()
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
    except FileNotFoundError:
        raise ContainerError(f"{source} does not exist: this step needs the outputs of the steps before it") from None
    return digest.hexdigest()
