"""Runs a trained model over a record file: every record once, exactly as training read it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from common.archive import extract_files
from common.contract import ContainerError
from common.dataset import Dataset, read_json
from common.recordio import read_records

SYMBOL_SUFFIX = "-symbol.json"
SHAPES_NAME = "model-shapes.json"
PARAMS_NAME = re.compile(r"(?P<prefix>.+)-(?P<epoch>\d{4})\.params")
DATA_NAME = "data"
BATCH_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class Model:
    """A symbol with its parameters; ``shape`` is the input of one image (channels, height, width)."""

    symbol: Any
    arguments: dict[str, Any]
    auxiliary: dict[str, Any]
    shape: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Per record, in file order: the true label (n,) int64 and the class probabilities (n, classes) float64."""

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


def load_model(archive: Path, *, dataset: Dataset) -> Model:
    """Load symbol, parameters and input shape from a model.tar.gz; ContainerError where one is missing or damaged.

    Where the archive holds parameters of several epochs, the highest epoch counts.
    """
    with tempfile.TemporaryDirectory() as directory:
        names = {path.name: path for path in extract_files(archive, Path(directory), wanted=_is_model_file)}
        symbol_path = _only_symbol(names, archive)
        params_path = _newest_params(names, symbol_path, archive)
        try:
            symbol = mx.sym.load(str(symbol_path))
            values = mx.nd.load(str(params_path))
        except (mx.MXNetError, ValueError) as error:
            raise ContainerError(f"{archive}: MXNet cannot read the model: {_first_line(error)}") from None
        shape = _input_shape(names.get(SHAPES_NAME), dataset)
    if not isinstance(values, dict):
        raise ContainerError(f"{archive}: {params_path.name} holds no named parameters")
    model = Model(
        symbol=symbol, arguments=_with_prefix(values, "arg:"), auxiliary=_with_prefix(values, "aux:"), shape=shape
    )
    _check_model(model, archive, num_classes=len(dataset.classes))
    return model


def predict(model: Model, records: Path, *, num_classes: int) -> Predictions:
    """Classify every record of a .rec file once, center-cropped to the model's shape, raw 0..255 RGB.

    ContainerError where a record is damaged, a label is no class, or the model's output is no probability.
    """
    expected = _labels(records, num_classes)
    batch_size = min(BATCH_SIZE, len(expected))
    try:
        labels, outputs = _forward(model, records, batch_size)
    except mx.MXNetError as error:
        raise ContainerError(f"{records}: MXNet cannot classify the records: {_first_line(error)}") from None
    # The reader and MXNet must have seen the same records in the same order, or the scores describe other images.
    if not np.array_equal(labels, expected):
        raise ContainerError(f"{records}: MXNet read {len(labels)} records, {len(expected)} are in the file or differ")
    _check_probabilities(outputs)
    return Predictions(labels=expected, probabilities=outputs)


def _forward(model: Model, records: Path, batch_size: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    executor = model.symbol.simple_bind(mx.cpu(), grad_req="null", **{DATA_NAME: (batch_size, *model.shape)})
    executor.copy_params_from(model.arguments, model.auxiliary, allow_extra_params=True)
    labels, outputs = [], []
    for batch in _batches(records, model.shape, batch_size):
        # The iterator fills the last batch up with records from the start: they must not count twice.
        kept = batch_size - batch.pad
        (output,) = executor.forward(is_train=False, **{DATA_NAME: batch.data[0]})
        labels.append(batch.label[0].asnumpy()[:kept])
        outputs.append(output.asnumpy()[:kept].astype(np.float64))
    return np.concatenate(labels), np.concatenate(outputs)


def _batches(records: Path, shape: tuple[int, int, int], batch_size: int) -> Iterator[Any]:
    yield from mx.io.ImageRecordIter(
        path_imgrec=str(records),
        data_shape=shape,
        batch_size=batch_size,
        label_width=1,
        shuffle=False,
        rand_crop=False,
        rand_mirror=False,
        round_batch=True,
        preprocess_threads=len(os.sched_getaffinity(0)),
        prefetch_buffer=2,
    )


def _labels(records: Path, num_classes: int) -> npt.NDArray[np.int64]:
    if not records.is_file():
        raise ContainerError(f"{records} does not exist: evaluation needs test images, give a test fraction above 0")
    labels = np.array([record.header.label for record in read_records(records)], dtype=np.float64)
    if not len(labels):
        raise ContainerError(f"{records} holds no records: evaluation needs test images")
    wrong = labels[(labels < 0) | (labels >= num_classes) | (labels != np.floor(labels))]
    if len(wrong):
        raise ContainerError(f"{records}: label {wrong[0]:g} is no class; allowed are 0 to {num_classes - 1}")
    return labels.astype(np.int64)


def _check_probabilities(outputs: npt.NDArray[np.float64]) -> None:
    broken = ~np.isfinite(outputs).all(axis=1)
    if broken.any():
        raise ContainerError(
            f"the model answers NaN or infinity for {int(broken.sum())} of {len(outputs)} test images: training "
            "diverged; lower the learning rate"
        )
    if (outputs < 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        raise ContainerError("the model's outputs are no probabilities (each row must sum to 1): it needs a softmax")


def _is_model_file(name: str) -> bool:
    return name.endswith(SYMBOL_SUFFIX) or name == SHAPES_NAME or PARAMS_NAME.fullmatch(name) is not None


def _only_symbol(names: dict[str, Path], archive: Path) -> Path:
    symbols = [path for name, path in names.items() if name.endswith(SYMBOL_SUFFIX)]
    if len(symbols) != 1:
        raise ContainerError(f"{archive} holds {len(symbols)} files named *{SYMBOL_SUFFIX}, exactly one is expected")
    return symbols[0]


def _newest_params(names: dict[str, Path], symbol: Path, archive: Path) -> Path:
    prefix = symbol.name[: -len(SYMBOL_SUFFIX)]
    matches = [match for match in map(PARAMS_NAME.fullmatch, names) if match and match["prefix"] == prefix]
    if not matches:
        raise ContainerError(f"{archive} holds no {prefix}-NNNN.params beside {symbol.name}")
    return names[max(matches, key=lambda match: int(match["epoch"])).string]


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


def _check_model(model: Model, archive: Path, *, num_classes: int) -> None:
    try:
        names = model.symbol.list_arguments()
        _, shapes, _ = model.symbol.infer_shape(**{DATA_NAME: (1, *model.shape)})
    except (mx.MXNetError, ValueError) as error:
        raise ContainerError(f"{archive}: the model does not take {model.shape} images: {_first_line(error)}") from None
    missing = [name for name in names if name not in model.arguments and name != DATA_NAME and "label" not in name]
    missing += [name for name in model.symbol.list_auxiliary_states() if name not in model.auxiliary]
    if missing:
        raise ContainerError(f"{archive}: the parameters lack {', '.join(missing[:3])}")
    if len(shapes) != 1 or shapes[0] != (1, num_classes):
        raise ContainerError(
            f"{archive}: the model answers {', '.join(map(str, shapes))} for one image, dataset.json has {num_classes} "
            "classes: model and data set are of different runs"
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("Traceback", "File "))]
    return (useful or lines or [type(error).__name__])[0]
