"""Small models trained on scikit-learn's handwritten digits, and the inputs of packaging jobs made of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.datasets import load_digits

from common.dataset import Dataset, read_dataset
from common.lists import list_bytes
from common.recordio import Header, RecordWriter
from package.bundle import Network
from package.inputs import Inputs, Options

PROGRAM = Path(sys.modules["package"].__path__[0]).parent
SIDE = 16
RECORD_SIDE = 18
COUNTS = {"train": 960, "validation": 150, "test": 200}
# Several labels of a digit; 1 and 7 have none of them.
SHAPES = {"even": {0, 2, 4, 6, 8}, "round": {0, 3, 6, 8, 9}, "middle": {3, 4, 5, 6, 8, 9}}


def jpeg(digit: np.ndarray) -> bytes:
    """A digit (8, 8) of 0 to 16 as a grey JPEG a little larger than the network's input, so that it is cropped."""
    grey = cv2.resize(digit * (255 / 16), (RECORD_SIDE, RECORD_SIDE), interpolation=cv2.INTER_CUBIC)
    pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_records(path: Path, rows: Sequence[tuple[Sequence[float], bytes]]) -> Path:
    """Write (labels, encoded image) rows as a .rec file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for id_, (labels, payload) in enumerate(rows):
            writer.write(Header(tuple(map(float, labels)), id_), payload)
    return path


@dataclass(frozen=True)
class Job:
    """The directories of one packaging job."""

    root: Path

    @property
    def input(self) -> Path:
        return self.root / "processing" / "input"

    @property
    def package(self) -> Path:
        return self.root / "processing" / "output" / "package"

    @property
    def serving(self) -> Path:
        return self.root / "processing" / "output" / "serving"

    @property
    def archive(self) -> Path:
        return self.input / "model" / "model.tar.gz"

    @property
    def inputs(self) -> Inputs:
        return Inputs(**{name: self.input / name for name in ("model", "evaluation", "dataset", "test", "validation")})

    @property
    def dataset(self) -> Dataset:
        return read_dataset(self.input / "dataset")

    def evaluation(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.input / "evaluation/evaluation.json").read_text())
        return content

    def written(self) -> list[Path]:
        """Every file and folder below the outputs."""
        return sorted((self.root / "processing" / "output").rglob("*"))

    def copy(self, root: Path) -> Job:
        """The same inputs in another place, to be changed there."""
        shutil.copytree(self.input, Job(root).input)
        return Job(root)

    def run(
        self, *arguments: str, program: str = "package", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the container's program."""
        environment = {**os.environ, "ML_ROOT": str(self.root), "PYTHONPATH": str(PROGRAM), **(environment or {})}
        command = [sys.executable, "-m", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


def options(precision: str = "fp32", max_accuracy_drop: float = 0.05) -> Options:
    """Arguments of a packaging job."""
    return Options(precision=precision, max_accuracy_drop=max_accuracy_drop, network=Network())


def trained_job(root: Path, *, several: bool) -> Job:
    """Train on digits and evaluate; ``several`` trains the labels SHAPES, else the ten classes."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    classes = list(SHAPES) if several else [f"digit {number}" for number in range(10)]
    job = Job(root / "package")
    training = root / "training"
    start = 0
    (job.input / "dataset").mkdir(parents=True)
    for split, count in COUNTS.items():
        chosen = order[start : start + count].tolist()
        start += count
        targets = [int(digits.target[index]) for index in chosen]
        labels = [[float(t in SHAPES[name]) for name in SHAPES] if several else [float(t)] for t in targets]
        rows = [(row, jpeg(digits.images[index])) for row, index in zip(labels, chosen, strict=True)]
        folder = job.input / split if split == "test" else training / "input/data" / split
        write_records(folder / f"{split}.rec", rows)
        listed = [(id_, row, f"{id_}.jpg") for id_, row in enumerate(labels)]
        (job.input / f"dataset/{split}.lst").write_bytes(list_bytes(listed))
    shutil.copytree(training / "input/data/validation", job.input / "validation")
    facts = {
        "classes": classes,
        "counts": COUNTS,
        "content_hash": "sha256:" + "0123456789abcdef" * 4,
        "image_shape": [3, SIDE, SIDE],
        "resize": RECORD_SIDE,
        "crop": "square",
    }
    (job.input / "dataset/dataset.json").write_text(json.dumps(facts))
    (job.input / "dataset/labels.json").write_text(json.dumps(classes))
    train(training, num_classes=len(classes), multi_label=int(several))
    pack_model(training / "model", job.archive)
    evaluate(job)
    return job


def train(root: Path, **hyperparameters: object) -> None:
    """Run a training job of a few seconds."""
    given = {
        "num_training_samples": COUNTS["train"],
        "num_layers": 20,
        "image_shape": f"3,{SIDE},{SIDE}",
        "mini_batch_size": 32,
        "learning_rate": 0.05,
        "epochs": 3,
    } | hyperparameters
    (root / "input/config").mkdir()
    text = {name: str(value) for name, value in given.items()}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(text))
    environment = {**os.environ, "ML_ROOT": str(root), "PYTHONPATH": str(PROGRAM)}
    command = [sys.executable, "-m", "train", "train"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def pack_model(folder: Path, archive: Path) -> None:
    """Write a model.tar.gz of the files in a folder."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


def evaluate(job: Job) -> None:
    """Evaluate the job's model and hand the results on."""
    done = job.run(program="evaluate")
    assert done.returncode == 0, done.stderr
    output = job.root / "processing/output"
    shutil.move(output / "evaluation", job.input / "evaluation")
    shutil.rmtree(output)
