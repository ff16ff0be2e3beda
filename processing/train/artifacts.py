"""The model directory in the built-in algorithm's layout: symbol, parameters of kept epochs, input shapes, record.

Every file appears whole or not at all, and the best parameters so far are always there, so a stopped job leaves a
usable model.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mxnet as mx

from common.files import atomic_write, write_json

PREFIX = "image-classification"
SYMBOL_NAME = f"{PREFIX}-symbol.json"
SHAPES_NAME = "model-shapes.json"
TRAINING_NAME = "training.json"


class Parameters(NamedTuple):
    """A network's learnt arguments and its auxiliary states (moving statistics), by name."""

    arguments: Mapping[str, mx.nd.NDArray]
    auxiliary: Mapping[str, mx.nd.NDArray]

    def prefixed(self) -> dict[str, mx.nd.NDArray]:
        """All of them under the names of a .params file."""
        values = {f"arg:{name}": value for name, value in self.arguments.items()}
        return values | {f"aux:{name}": value for name, value in self.auxiliary.items()}


def split_prefixed(values: Mapping[str, mx.nd.NDArray]) -> Parameters:
    """The reverse of `Parameters.prefixed`; other names are left out."""

    def of(kind: str) -> dict[str, mx.nd.NDArray]:
        return {name.removeprefix(kind): value for name, value in values.items() if name.startswith(kind)}

    return Parameters(of("arg:"), of("aux:"))


def parameters_name(epoch: int) -> str:
    """File name of the parameters of an epoch (0 is the first): NNNN counts from 1, as in MXNet's checkpoints."""
    return f"{PREFIX}-{epoch + 1:04d}.params"


class ModelDirectory:
    """Writes the artifact of one training job."""

    def __init__(self, directory: Path, *, checkpoint_frequency: int | None) -> None:
        self._directory = directory
        self._frequency = checkpoint_frequency
        self._best: int | None = None

    def write_network(self, symbol: mx.sym.Symbol, image_shape: tuple[int, int, int]) -> None:
        """Write the symbol and model-shapes.json, what serving needs to bind it to one image."""
        with atomic_write(self._directory / SYMBOL_NAME, "w") as file:
            file.write(symbol.tojson())
        write_json(self._directory / SHAPES_NAME, [{"shape": [1, *image_shape], "name": "data"}])

    def keep(self, epoch: int, parameters: Parameters, training: Mapping[str, Any]) -> None:
        """Write training.json, and the parameters of an epoch where it is the best or checkpoint_frequency asks.

        The former best goes, unless it was asked for. At any moment training.json names parameters that are there.
        """
        is_best = training["best_epoch"] == epoch
        if is_best or self._asked_for(epoch):
            path = self._directory / parameters_name(epoch)
            with atomic_write(path) as file:
                save_arrays(Path(file.name), parameters.prefixed(), target=path)
        self.describe(training)
        if is_best:
            former, self._best = self._best, epoch
            if former is not None and not self._asked_for(former):
                (self._directory / parameters_name(former)).unlink()

    def describe(self, training: Mapping[str, Any]) -> None:
        """Write training.json."""
        write_json(self._directory / TRAINING_NAME, training)

    def kept(self) -> list[Path]:
        """The parameter files that are there, by name."""
        return sorted(self._directory.glob(f"{PREFIX}-*.params"))

    def restore(self, files: Iterable[Path], training: Mapping[str, Any]) -> None:
        """Become what the directory was when `files` were all its parameters and `training` its training.json."""
        self.clear()
        for file in files:
            copy_whole(file, self._directory / file.name)
        self.describe(training)
        self._best = training["best_epoch"]

    def clear(self) -> None:
        """Remove the parameters of an earlier attempt, and what it was writing when it was killed."""
        for path in (*self.kept(), *self._directory.glob(".*.partial"), self._directory / TRAINING_NAME):
            path.unlink(missing_ok=True)

    def _asked_for(self, epoch: int) -> bool:
        return self._frequency is not None and (epoch + 1) % self._frequency == 0


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that the copy appears whole or not at all."""
    with source.open("rb") as read, atomic_write(target) as written:
        while block := read.read(1 << 20):
            written.write(block)


def save_arrays(temporary: Path, values: Mapping[str, mx.nd.NDArray], *, target: Path) -> None:
    """Write with MXNet and read back: MXNet does not notice when a full disk cuts its buffered file off."""
    try:
        mx.nd.save(str(temporary), dict(values))
        complete = mx.nd.load(str(temporary)).keys() == values.keys()
    except mx.base.MXNetError:
        complete = False
    if not complete:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
