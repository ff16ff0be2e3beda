"""The model directory in the built-in algorithm's layout: symbol, parameters of kept epochs, input shapes.

Every file appears whole or not at all, and the best parameters so far are always there, so a stopped job leaves a
usable model.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import mxnet as mx

from common.files import atomic_write, write_json

PREFIX = "image-classification"


class ModelDirectory:
    """Writes the artifact of one training job."""

    def __init__(self, directory: Path, *, checkpoint_frequency: int | None) -> None:
        self._directory = directory
        self._frequency = checkpoint_frequency
        self._best: int | None = None

    def write_network(self, symbol: mx.sym.Symbol, image_shape: tuple[int, int, int]) -> None:
        """Write the symbol and model-shapes.json, what serving needs to bind it to one image."""
        with atomic_write(self._directory / f"{PREFIX}-symbol.json", "w") as file:
            file.write(symbol.tojson())
        write_json(self._directory / "model-shapes.json", [{"shape": [1, *image_shape], "name": "data"}])

    def keep(
        self, epoch: int, arguments: Mapping[str, mx.nd.NDArray], auxiliary: Mapping[str, mx.nd.NDArray], *, best: bool
    ) -> None:
        """Write the parameters of an epoch (0 is the first) if it is the best so far or checkpoint_frequency asks.

        NNNN in the file name counts from 1, as MXNet's checkpoints do. The former best goes, unless it was asked for.
        """
        if not best and not self._asked_for(epoch):
            return
        values = {f"arg:{name}": value for name, value in arguments.items()}
        values |= {f"aux:{name}": value for name, value in auxiliary.items()}
        path = self._parameters(epoch)
        with atomic_write(path) as file:
            _save(Path(file.name), values, target=path)
        if best:
            former, self._best = self._best, epoch
            if former is not None and not self._asked_for(former):
                self._parameters(former).unlink()

    def _asked_for(self, epoch: int) -> bool:
        return self._frequency is not None and (epoch + 1) % self._frequency == 0

    def _parameters(self, epoch: int) -> Path:
        return self._directory / f"{PREFIX}-{epoch + 1:04d}.params"


def _save(temporary: Path, values: Mapping[str, mx.nd.NDArray], *, target: Path) -> None:
    """Write with MXNet and read back: MXNet does not notice when a full disk cuts its buffered file off."""
    try:
        mx.nd.save(str(temporary), dict(values))
        complete = mx.nd.load(str(temporary)).keys() == values.keys()
    except mx.base.MXNetError:
        complete = False
    if not complete:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
