"""Loads the model that a training job left in model.tar.gz."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx

from common.archive import extract_files
from common.contract import ContainerError
from common.dataset import Dataset, read_json
from common.training_record import RECORD_NAME, TrainingRecord, read_training_record

SYMBOL_SUFFIX = "-symbol.json"
SHAPES_NAME = "model-shapes.json"
PARAMS_NAME = re.compile(r"(?P<prefix>.+)-(?P<epoch>\d{4})\.params")
DATA_NAME = "data"
# What a network ends in that chooses one class per image; others answer for each class by itself.
ONE_CLASS_OUTPUTS = ("SoftmaxOutput", "softmax", "Softmax", "SoftmaxActivation")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A symbol with its parameters; ``shape`` is the input of one image (channels, height, width).

    ``output`` is the operator that the network ends in; ``training`` is the trainer's account of the job, if any.
    """

    symbol: Any
    arguments: dict[str, Any]
    auxiliary: dict[str, Any]
    shape: tuple[int, int, int]
    output: str
    training: TrainingRecord | None

    @property
    def multi_label(self) -> bool:
        """Whether the network answers for each class by itself, so that an image may be of several."""
        return self.output not in ONE_CLASS_OUTPUTS


def load_model(archive: Path, *, dataset: Dataset) -> Model:
    """Load symbol, parameters and input shape from a model.tar.gz; ContainerError where one is missing or damaged.

    Where the archive holds parameters of several epochs, those that training.json calls the best count; without
    training.json, as the built-in image leaves them, the highest epoch.
    """
    with tempfile.TemporaryDirectory() as directory:
        names = {path.name: path for path in extract_files(archive, Path(directory), wanted=_is_model_file)}
        training = read_training_record(names[RECORD_NAME]) if RECORD_NAME in names else None
        symbol_path = _only_symbol(names, archive)
        params_path = _best_params(names, training, symbol_path, archive)
        try:
            symbol = mx.sym.load(str(symbol_path))
            values = mx.nd.load(str(params_path))
        except (mx.MXNetError, ValueError) as error:
            raise ContainerError(f"{archive}: MXNet cannot read the model: {first_line(error)}") from None
        shape = _input_shape(names.get(SHAPES_NAME), dataset)
    if not isinstance(values, dict):
        raise ContainerError(f"{archive}: {params_path.name} holds no named parameters")
    model = Model(
        symbol=symbol,
        arguments=_with_prefix(values, "arg:"),
        auxiliary=_with_prefix(values, "aux:"),
        shape=shape,
        output=_output_operator(symbol),
        training=training,
    )
    _check_model(model, archive, num_classes=len(dataset.classes))
    return model


def first_line(error: Exception) -> str:
    """Return what matters of an MXNet error, whose text is a stack trace of many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("Traceback", "File "))]
    return (useful or lines or [type(error).__name__])[0]


def _is_model_file(name: str) -> bool:
    wanted = name in {SHAPES_NAME, RECORD_NAME} or name.endswith(SYMBOL_SUFFIX)
    return wanted or PARAMS_NAME.fullmatch(name) is not None


def _only_symbol(names: dict[str, Path], archive: Path) -> Path:
    symbols = [path for name, path in names.items() if name.endswith(SYMBOL_SUFFIX)]
    if len(symbols) != 1:
        raise ContainerError(f"{archive} holds {len(symbols)} files named *{SYMBOL_SUFFIX}, exactly one is expected")
    return symbols[0]


def _best_params(names: dict[str, Path], training: TrainingRecord | None, symbol: Path, archive: Path) -> Path:
    prefix = symbol.name[: -len(SYMBOL_SUFFIX)]
    matches = [match for match in map(PARAMS_NAME.fullmatch, names) if match and match["prefix"] == prefix]
    if not matches:
        raise ContainerError(f"{archive} holds no {prefix}-NNNN.params beside {symbol.name}")
    if training is None:
        return names[max(matches, key=lambda match: int(match["epoch"])).string]
    if training.best_params not in {match.string for match in matches}:
        found = ", ".join(sorted(match.string for match in matches))
        raise ContainerError(f"{archive}: {RECORD_NAME} names {training.best_params} as the best, it holds {found}")
    return names[training.best_params]


def _input_shape(path: Path | None, dataset: Dataset) -> tuple[int, int, int]:
    """Return the shape that the model was trained on; the data set's where the archive does not say."""
    if path is None:
        return dataset.image_shape
    try:
        entry = next(entry for entry in read_json(path) if entry["name"] == DATA_NAME)
        _, channels, height, width = (int(side) for side in entry["shape"])
    except (StopIteration, KeyError, TypeError, ValueError):
        raise ContainerError(f'{SHAPES_NAME} must be [{{"name": "data", "shape": [1, 3, H, W]}}]') from None
    if max(height, width) > dataset.resize:
        raise ContainerError(
            f"the model takes {height}x{width} images, the records' short side is {dataset.resize}: "
            "evaluate on the data set that the model was trained on"
        )
    return channels, height, width


def _with_prefix(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}


def _output_operator(symbol: Any) -> str:
    graph = json.loads(symbol.tojson())
    return str(graph["nodes"][graph["heads"][0][0]]["op"])


def _check_model(model: Model, archive: Path, *, num_classes: int) -> None:
    try:
        names = model.symbol.list_arguments()
        _, shapes, _ = model.symbol.infer_shape(**{DATA_NAME: (1, *model.shape)})
    except (mx.MXNetError, ValueError) as error:
        raise ContainerError(f"{archive}: the model does not take {model.shape} images: {first_line(error)}") from None
    missing = [name for name in names if name not in model.arguments and name != DATA_NAME and "label" not in name]
    missing += [name for name in model.symbol.list_auxiliary_states() if name not in model.auxiliary]
    if missing:
        raise ContainerError(f"{archive}: the parameters lack {', '.join(missing[:3])}")
    if len(shapes) != 1 or shapes[0] != (1, num_classes):
        raise ContainerError(
            f"{archive}: the model answers {', '.join(map(str, shapes))} for one image, dataset.json has {num_classes} "
            "classes: model and data set are of different runs"
        )
