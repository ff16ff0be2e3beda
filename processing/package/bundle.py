"""Collects a model version: the artifact with its scores, labels and provenance, all of them or none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from common.archive import extract_files
from common.contract import ContainerError
from common.dataset import read_dataset, read_json
from common.files import AtomicFiles, json_bytes

SCHEMA_VERSION = 1
CHUNK_BYTES = 1 << 20


def bundle(*, model: Path, evaluation: Path, dataset: Path, destination: Path) -> dict[str, object]:
    """Write model.tar.gz, evaluation.json, report.html, labels.json, dataset.json, package.json; returns the last.

    ``model``, ``evaluation`` and ``dataset`` are the folders of the steps before. ContainerError where a file is
    missing, the artifact is unsafe or damaged, or the scores belong to other classes than the data set.
    """
    facts = read_dataset(dataset)
    scored = read_json(evaluation / "evaluation.json")
    if not isinstance(scored, dict) or scored.get("classes") != facts.classes:
        raise ContainerError(f"{evaluation}: evaluation.json and dataset.json name different classes; take one run's")
    archive = model / "model.tar.gz"
    extract_files(archive, destination, wanted=_none)
    with AtomicFiles() as files:
        digest = _copy(archive, files.open(destination / archive.name))
        for path in _companions(evaluation, dataset):
            _copy(path, files.open(destination / path.name))
        content: dict[str, object] = {
            "schema_version": SCHEMA_VERSION,
            "training_artifact_sha256": digest,
            "content_hash": facts.content_hash,
            "num_classes": len(facts.classes),
        }
        files.open(destination / "package.json").write(json_bytes(content))
    return content


def _companions(evaluation: Path, dataset: Path) -> list[Path]:
    return [
        evaluation / "evaluation.json",
        evaluation / "report.html",
        dataset / "labels.json",
        dataset / "dataset.json",
    ]


def _none(name: str) -> bool:
    """Want no file: the archive is only checked to be whole and safe before it is registered."""
    return False


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
