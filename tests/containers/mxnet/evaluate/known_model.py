"""A model whose answers are known, record files for it, and the directories of an evaluation job."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from PIL import Image

from common.dataset import Dataset
from common.recordio import Header, RecordWriter

SIDE = 8


def known_symbol(num_classes: int, *, multi_label: bool = False) -> mx.sym.Symbol:
    """Return a network that reads its answer off the image: logits are a linear map of the mean colour (R, G, B)."""
    mean = mx.sym.Pooling(mx.sym.Variable("data"), global_pool=True, pool_type="avg", kernel=(1, 1), name="mean")
    logits = mx.sym.FullyConnected(mx.sym.flatten(mean), num_hidden=num_classes, name="fc")
    return (
        mx.sym.LogisticRegressionOutput(logits, name="out")
        if multi_label
        else mx.sym.SoftmaxOutput(logits, name="softmax")
    )


def save_model(
    path: Path,
    weights: Sequence[Sequence[float]],
    *,
    epoch: int = 1,
    side: int = SIDE,
    bias: float = 0.0,
    multi_label: bool = False,
    training: dict[str, Any] | None = None,
) -> Path:
    """Write a model.tar.gz with logits = weights (classes, 3) x mean colour + bias; earlier epochs of it stay."""
    folder = path.parent / "artifact"
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "image-classification"
    known_symbol(len(weights), multi_label=multi_label).save(f"{prefix}-symbol.json")
    if training is not None:
        (folder / "training.json").write_text(json.dumps(training))
    arrays = {
        "arg:fc_weight": mx.nd.array(np.array(weights, np.float32)),
        "arg:fc_bias": mx.nd.full(len(weights), bias),
    }
    mx.nd.save(f"{prefix}-{epoch:04}.params", arrays)
    (folder / "model-shapes.json").write_text(json.dumps([{"shape": [1, 3, side, side], "name": "data"}]))
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, arcname=file.name)
    return path


def flat_png(colour: tuple[int, int, int], *, width: int = SIDE, height: int = SIDE) -> bytes:
    """Return a one-coloured PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def save_records(path: Path, rows: Sequence[tuple[float | Sequence[float], bytes]]) -> Path:
    """Write (label or labels, encoded image) rows as a .rec file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for id_, (label, payload) in enumerate(rows):
            labels = tuple(label) if isinstance(label, Sequence) else (label,)
            writer.write(Header(labels, id_), payload)
    return path


def dataset(classes: Sequence[str] = ("a", "b", "c"), *, test: int = 0) -> Dataset:
    """Return the facts of a small data set."""
    return Dataset(
        classes=list(classes),
        counts={"train": 30, "validation": 5, "test": test},
        content_hash="sha256:" + "0123456789abcdef" * 4,
        image_shape=(3, SIDE, SIDE),
        resize=SIDE,
    )


@dataclass(frozen=True)
class Job:
    """The directories of one evaluation job."""

    root: Path

    @property
    def inputs(self) -> Path:
        return self.root / "processing" / "input"

    @property
    def outputs(self) -> Path:
        return self.root / "processing" / "output" / "evaluation"

    def evaluation(self) -> dict[str, Any]:
        """Return the content of the evaluation.json that was written."""
        content: dict[str, Any] = json.loads((self.outputs / "evaluation.json").read_text())
        return content


def training_content(
    *, epochs: int = 3, best: int = 1, params: str = "image-classification-0002.params"
) -> dict[str, Any]:
    """Return a training.json as the trainer writes it."""
    return {
        "schema_version": 1,
        "hyperparameters": {"epochs": str(epochs), "learning_rate": "0.05", "optimizer": "sgd"},
        "num_layers": 20,
        "num_classes": 2,
        "image_shape": [3, SIDE, SIDE],
        "best_epoch": best,
        "best_params": params,
        "selected_by": "accuracy",
        "base_model": None,
        "epochs": [_epoch(number) for number in range(epochs)],
        "checks": [
            {"name": "loss_not_decreasing", "fired": False, "epoch": None, "message": "the loss fell from 2 to 1"},
            {"name": "overfit", "fired": True, "epoch": 2, "message": "the validation loss rises from epoch 2 on"},
            {"name": "vanishing_gradient", "fired": False, "epoch": None, "message": "the smallest norm is 0.1"},
            {"name": "exploding_gradient", "fired": False, "epoch": None, "message": "the largest norm is 3"},
        ],
    }


def _epoch(number: int) -> dict[str, Any]:
    return {
        "epoch": number,
        "learning_rate": 0.05,
        "seconds": 2.0,
        "images_per_second": 100.0 + 50 * number,
        "data_wait_fraction": 0.02,
        "train": {"accuracy": 0.5 + 0.1 * number, "cross-entropy": 2 - 0.5 * number},
        "validation": {"accuracy": 0.4 + 0.1 * number, "cross-entropy": 2.2 - 0.5 * number},
        "gradient_norm": {
            "mean": 1.0,
            "max": 3.0,
            "smallest_layer": "conv0_weight",
            "smallest": 0.1,
            "largest_layer": "fc1_weight",
            "largest": 3.0,
        },
        "system": {"cpu_percent": 180.0, "memory_bytes": 1e9},
    }
