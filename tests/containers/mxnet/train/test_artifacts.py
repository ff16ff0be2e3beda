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
from train.artifacts import ModelDirectory, Parameters, split_prefixed


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.params"))


BEST: dict[ModelDirectory, int] = {}


def keep(model: ModelDirectory, epoch: int, *, best: bool) -> None:
    parameters = Parameters({"w": mx.nd.full((2,), epoch)}, {"m": mx.nd.full((1,), -epoch)})
    if best:
        BEST[model] = epoch
    model.keep(epoch, parameters, {"best_epoch": BEST.get(model, -1), "epochs": epoch + 1})


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
from train.artifacts import ModelDirectory, Parameters
model = ModelDirectory(Path(sys.argv[1]), checkpoint_frequency=None)
model.keep(0, Parameters({"w": mx.nd.zeros((10,))}, {}), {"best_epoch": 0})
try:
    model.keep(1, Parameters({"w": mx.nd.zeros((100_000,))}, {}), {"best_epoch": 1})
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-classification-0001.params", "training.json"]
    assert json.loads((tmp_path / "training.json").read_text()) == {"best_epoch": 0}


@pytest.mark.parametrize("frequency", [None, 1])
def test_no_file_for_an_epoch_nobody_asked_for(tmp_path: Path, frequency: int | None) -> None:
    model = ModelDirectory(tmp_path, checkpoint_frequency=frequency)
    keep(model, 0, best=False)
    assert len(names(tmp_path)) == (0 if frequency is None else 1)


def test_training_json_is_there_after_every_epoch(tmp_path: Path) -> None:
    model = ModelDirectory(tmp_path, checkpoint_frequency=None)
    for epoch, best in enumerate([True, False, True]):
        keep(model, epoch, best=best)
        content = json.loads((tmp_path / "training.json").read_text())
        assert content == {"best_epoch": 0 if epoch < 2 else 2, "epochs": epoch + 1}


def test_a_restored_directory_goes_on_like_the_former_one(tmp_path: Path) -> None:
    first = ModelDirectory(tmp_path / "first", checkpoint_frequency=3)
    for epoch, best in enumerate([False, True, False]):
        keep(first, epoch, best=best)
    (tmp_path / "second").mkdir()
    for leftover in ("image-classification-0009.params", ".image-classification-0003.params.17.partial"):
        (tmp_path / "second" / leftover).write_bytes(b"half")
    second = ModelDirectory(tmp_path / "second", checkpoint_frequency=3)
    second.restore(first.kept(), {"best_epoch": 1})
    restored = sorted(path.name for path in (tmp_path / "second").iterdir())
    assert restored == ["image-classification-0002.params", "image-classification-0003.params", "training.json"]
    for model in (first, second):
        keep(model, 3, best=True)
    expected = ["image-classification-0003.params", "image-classification-0004.params"]
    assert names(tmp_path / "second") == names(tmp_path / "first") == expected


def test_names_in_a_parameter_file_come_apart_again() -> None:
    parameters = Parameters({"w": mx.nd.zeros((1,))}, {"w": mx.nd.ones((1,))})
    again = split_prefixed(parameters.prefixed() | {"optimizer:w:0": mx.nd.zeros((3,))})
    assert {name: value.asscalar() for name, value in again.arguments.items()} == {"w": 0}
    assert {name: value.asscalar() for name, value in again.auxiliary.items()} == {"w": 1}
