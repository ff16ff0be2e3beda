"""A model whose answers are known, record files for it, and the directories of an evaluation job."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np
from PIL import Image

from common.dataset import Dataset
from common.recordio import Header, RecordWriter

SIDE = 8


def known_symbol(num_classes: int) -> mx.sym.Symbol:
    """Return a network that reads its answer off the image: logits are a linear map of the mean colour (R, G, B)."""
    mean = mx.sym.Pooling(mx.sym.Variable("data"), global_pool=True, pool_type="avg", kernel=(1, 1), name="mean")
    logits = mx.sym.FullyConnected(mx.sym.flatten(mean), num_hidden=num_classes, name="fc")
    return mx.sym.SoftmaxOutput(logits, name="softmax")


def save_model(path: Path, weights: Sequence[Sequence[float]], *, epoch: int = 1, side: int = SIDE) -> Path:
    """Write a model.tar.gz with logits = weights (classes, 3) x mean colour."""
    folder = path.parent / "artifact"
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "image-classification"
    known_symbol(len(weights)).save(f"{prefix}-symbol.json")
    arrays = {
        "arg:fc_weight": mx.nd.array(np.array(weights, np.float32)),
        "arg:fc_bias": mx.nd.zeros(len(weights)),
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


def save_records(path: Path, rows: Sequence[tuple[float, bytes]]) -> Path:
    """Write (label, encoded image) rows as a .rec file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for id_, (label, payload) in enumerate(rows):
            writer.write(Header((label,), id_), payload)
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
