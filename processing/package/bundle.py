"""Collects a model version's provenance: the training artifact with its scores and labels, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from common.contract import ContainerError
from common.dataset import Dataset
from common.files import AtomicFiles
from common.training_record import TrainingRecord

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
    files: AtomicFiles,
    destination: Path,
    *,
    archive: Path,
    evaluation: Path,
    dataset: Path,
    facts: Dataset,
    training: TrainingRecord | None,
    network: Network,
) -> dict[str, Any]:
    """Copy model.tar.gz, evaluation.json, baseline.json, labels.json and dataset.json, and return what is known of it.

    ``evaluation`` and ``dataset`` are the folders of the steps before. ``network`` is what the training job was asked
    for, and counts where ``training``, the artifact's own record, is None. ContainerError where a file is missing.
    """
    digest = _copy(archive, files.open(destination / archive.name))
    for path in (
        evaluation / "evaluation.json",
        evaluation / "baseline.json",
        dataset / "labels.json",
        dataset / "dataset.json",
    ):
        _copy(path, files.open(destination / path.name))
    return {
        "schema_version": SCHEMA_VERSION,
        "training_artifact_sha256": digest,
        "content_hash": facts.content_hash,
        "num_classes": len(facts.classes),
        **_trained_with(training, network),
    }


def _trained_with(training: TrainingRecord | None, asked_for: Network) -> dict[str, Any]:
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
