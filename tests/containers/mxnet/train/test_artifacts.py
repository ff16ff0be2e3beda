"""The model directory holds the built-in algorithm's layout, whole files only, the best parameters always."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest

from train import artifacts
from train.artifacts import ModelDirectory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.params"))


def keep(model: ModelDirectory, epoch: int, *, best: bool) -> None:
    model.keep(epoch, {"w": mx.nd.full((2,), epoch)}, {"m": mx.nd.full((1,), -epoch)}, best=best)


def test_only_the_best_epoch_stays(tmp_path: Path) -> None:
    model = ModelDirectory(tmp_path, checkpoint_frequency=None)
    for epoch, best in enumerate([True, False, True, False]):
        keep(model, epoch, best=best)
    assert names(tmp_path) == ["image-classification-0003.params"]
    saved = mx.nd.load(str(tmp_path / "image-classification-0003.params"))
    assert {name: value.asnumpy().tolist() for name, value in saved.items()} == {"arg:w": [2, 2], "aux:m": [-2]}


def test_checkpoint_frequency_adds_its_epochs(tmp_path: Path) -> None:
    model = ModelDirectory(tmp_path, checkpoint_frequency=2)
    for epoch, best in enumerate([True, True, True, False, False]):
        keep(model, epoch, best=best)
    assert names(tmp_path) == [f"image-classification-000{number}.params" for number in (2, 3, 4)]


def test_symbol_and_input_shape(tmp_path: Path) -> None:
    symbol = mx.sym.Variable("data") * 2
    ModelDirectory(tmp_path, checkpoint_frequency=None).write_network(symbol, (3, 32, 48))
    assert mx.sym.load(str(tmp_path / "image-classification-symbol.json")).list_arguments() == ["data"]
    shapes = json.loads((tmp_path / "model-shapes.json").read_text())
    assert shapes == [{"shape": [1, 3, 32, 48], "name": "data"}]


FULL_DISK = """
import sys
from pathlib import Path
import mxnet as mx
from train.artifacts import ModelDirectory
model = ModelDirectory(Path(sys.argv[1]), checkpoint_frequency=None)
model.keep(0, {"w": mx.nd.zeros((10,))}, {}, best=True)
try:
    model.keep(1, {"w": mx.nd.zeros((100_000,))}, {}, best=True)
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_full_disk_keeps_the_former_best_and_names_the_file(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(artifacts.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    assert done.stdout.split() == ["28", str(tmp_path / "image-classification-0002.params")]
    assert [path.name for path in tmp_path.iterdir()] == ["image-classification-0001.params"]


@pytest.mark.parametrize("frequency", [None, 1])
def test_no_file_for_an_epoch_nobody_asked_for(tmp_path: Path, frequency: int | None) -> None:
    model = ModelDirectory(tmp_path, checkpoint_frequency=frequency)
    keep(model, 0, best=False)
    assert len(names(tmp_path)) == (0 if frequency is None else 1)
