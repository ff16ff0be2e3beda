"""The programs that are compared: the trainer's container program as a plain process, and MXNet's Module.fit."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from benchmarks.contestants import MXNET_PYTHON, ROOT
from benchmarks.measure import BenchmarkError, Command

AUGMENTATION = "crop"
# Pixels that the trainer puts around images as small as the network's input, see train.iterators.padding.
SMALL_PADDING = 4
LEARNING_RATE, MOMENTUM = 0.01, 0.9
# Both programs write it: the clock of one epoch's training, validation and saving not counted.
_EPOCH = re.compile(r"Epoch\[(\d+)\] Time cost=([\d.]+)")
_LEFT_OUT = ("OMP_", "GOMP_", "MXNET_", "PYTHON")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained: a network of ``num_layers`` on ``images`` records of images that ``side`` is cut from."""

    records: Path
    images: int
    classes: int
    num_layers: int
    side: int
    short_side: int
    batch_size: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run: images per second, median over the epochs after the first, and the share of time without data."""

    images_per_second: float
    data_wait: float | None = None


class Contestant(Protocol):
    """A program that trains a job."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def command(self, job: Job, folder: Path) -> Command:
        """Lay out ``folder``, which is empty, and return what is run."""

    def result(self, job: Job, folder: Path) -> Training:
        """Return what a run in ``folder`` has measured."""


@dataclass(frozen=True, kw_only=True)
class OurTrainer:
    """``python -m train`` with $ML_ROOT, as the container's entry point; it measures how long it waits for data."""

    name: str = "imgpipe's trainer"
    program: Path = ROOT / "processing"

    def command(self, job: Job, folder: Path) -> Command:
        """Lay out the channels and SageMaker's configuration file."""
        for channel in ("train", "validation"):
            place = folder / "input" / "data" / channel
            place.mkdir(parents=True)
            source = job.records if channel == "train" else job.records.with_name("validation.rec")
            shutil.copyfile(source, place / source.name)
        config = folder / "input" / "config"
        config.mkdir()
        (config / "hyperparameters.json").write_text(json.dumps(_hyperparameters(job)), encoding="utf-8")
        environment = _environment(self.program) | {"ML_ROOT": str(folder), "PYTHONUNBUFFERED": "1"}
        words = [str(MXNET_PYTHON), "-m", "train", "train"]
        return Command(words=words, environment=environment, log=folder / "log.txt")

    def result(self, job: Job, folder: Path) -> Training:
        """Return the speed of the log, and the wait of training.json."""
        content = json.loads((folder / "model" / "training.json").read_text(encoding="utf-8"))
        waits = [float(epoch["data_wait_fraction"]) for epoch in content["epochs"][1:]]
        return Training(images_per_second=_speed(job, folder), data_wait=median(waits))


@dataclass(frozen=True, kw_only=True)
class ModuleFit:
    """MXNet's Module.fit with its own defaults: engine, threads, kvstore, metric."""

    name: str = "Module.fit"

    def command(self, job: Job, folder: Path) -> Command:
        """Return the run of `benchmarks/module_fit.py` in MXNet's environment."""
        settings = {
            "records": str(job.records),
            "index": str(job.records.with_suffix(".idx")),
            "num_layers": job.num_layers,
            "num_classes": job.classes,
            "side": job.side,
            "batch_size": job.batch_size,
            "epochs": job.epochs,
            "augmentation": AUGMENTATION,
            "padding": _padding(job),
            "optimizer_params": {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM},
        }
        words = [str(MXNET_PYTHON), str(ROOT / "benchmarks" / "module_fit.py"), json.dumps(settings)]
        return Command(words=words, environment=_environment(ROOT / "processing"), log=folder / "log.txt")

    def result(self, job: Job, folder: Path) -> Training:
        """Return the speed of the log."""
        return Training(images_per_second=_speed(job, folder))


def _hyperparameters(job: Job) -> Mapping[str, str]:
    values = {
        "num_classes": job.classes,
        "num_training_samples": job.images,
        "num_layers": job.num_layers,
        "image_shape": f"3,{job.side},{job.side}",
        "mini_batch_size": job.batch_size,
        "epochs": job.epochs,
        "augmentation_type": AUGMENTATION,
        "optimizer": "sgd",
        "learning_rate": LEARNING_RATE,
        "momentum": MOMENTUM,
    }
    return {name: str(value) for name, value in values.items()}


def _padding(job: Job) -> int:
    return SMALL_PADDING if job.short_side == job.side else 0


def _environment(program: Path) -> dict[str, str]:
    """Return this environment without what sets threads or MXNet's engine, which both are to choose by themselves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return kept | {"PYTHONPATH": str(program)}


def _speed(job: Job, folder: Path) -> float:
    """Return images per second, the median over the epochs of a log after the first, which warms up."""
    epochs = _EPOCH.findall((folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
    steady: Sequence[float] = [float(seconds) for number, seconds in epochs if int(number) > 0]
    if len(epochs) != job.epochs:
        raise BenchmarkError(f"{folder / 'log.txt'} has the times of {len(epochs)} epochs, not of {job.epochs}")
    return job.images / median(steady)
