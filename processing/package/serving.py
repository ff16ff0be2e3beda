"""Writes what an endpoint serves: model.tar.gz, its facts, and the sample for smoke tests."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.dataset import Dataset
from common.files import AtomicFiles, json_bytes
from package.precision import Chosen
from package.sample import Sample
from package.scores import accuracy
from package.tarball import write_tarball

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model as it is served: its answers, its input (channels, height, width), how images become that input.

    ``crop`` is how the images were packed, None where that is not known, ``convert_icc`` whether their colours were
    converted to sRGB.
    """

    chosen: Chosen
    shape: tuple[int, int, int]
    dataset: Dataset
    crop: str | None
    convert_icc: bool
    thresholds: dict[str, Any]
    training_artifact_sha256: str
    sample: Sample

    def facts(self) -> dict[str, Any]:
        """Return the content of model.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "image_shape": list(self.shape),
            "resize": self.dataset.resize,
            **({} if self.crop is None else {"crop": self.crop}),
            "convert_icc": self.convert_icc,
            "classes": len(self.dataset.classes),
            "multi_label": self.chosen.answers.multi_label,
            "precision": self.chosen.precision,
            "thresholds": self.thresholds,
            "content_hash": self.dataset.content_hash,
            "training_artifact_sha256": self.training_artifact_sha256,
            "accuracy": accuracy(self.chosen.answers),
        }

    def described(self) -> dict[str, str]:
        """Return what package.json says about it, as texts; those that the registry takes over have no comma."""
        return {
            "sample_label": self.dataset.classes[self.sample.index],
            "image_shape": "x".join(map(str, self.shape)),
            "resize": str(self.dataset.resize),
        }


def write_served(served: Served, files: AtomicFiles, destination: Path) -> str:
    """Write model.tar.gz, model.json and sample.json; return the archive's SHA-256. Equal models give equal bytes."""
    beside = {
        "model.json": json_bytes(served.facts()),
        "sample.json": json_bytes(served.sample.content(served.dataset.classes)),
    }
    inside = {"model.onnx": served.chosen.content, "labels.json": json_bytes(served.dataset.classes), **beside}
    archive = io.BytesIO()
    write_tarball(archive, inside)
    for name, content in {**beside, "model.tar.gz": archive.getvalue()}.items():
        files.open(destination / name).write(content)
    return hashlib.sha256(archive.getvalue()).hexdigest()
