"""Runs a trained model over a record file: every record once, exactly as training read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from common.contract import ContainerError
from common.recordio import read_records
from evaluate.model import DATA_NAME, Model, first_line

BATCH_SIZE = 32
# An image is taken for each class of at least this probability where it may be of several.
POSITIVE = 0.5


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Per record, in file order: the true labels (int64) and the class probabilities (n, classes) float64.

    ``labels`` is (n,), class indices and rows of probabilities that sum to 1; or, where an image may be of several
    classes, (n, classes), 0 or 1, and each probability stands by itself.
    """

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    @property
    def multi_label(self) -> bool:
        """Whether an image may be of several classes, or of none."""
        return self.labels.ndim > 1

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """Which classes (n, classes) each image is of."""
        if self.multi_label:
            return np.asarray(self.labels > 0)
        return np.eye(self.probabilities.shape[1], dtype=bool)[self.labels]

    @property
    def chosen(self) -> npt.NDArray[np.bool_]:
        """Which classes (n, classes) each image was called: the most probable, or all of at least 0.5."""
        if self.multi_label:
            return np.asarray(self.probabilities >= POSITIVE)
        return np.asarray(np.eye(self.probabilities.shape[1], dtype=bool)[self.probabilities.argmax(axis=1)])

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Which records (n,) are entirely right."""
        return np.asarray((self.chosen == self.truth).all(axis=1))


def predict(model: Model, records: Path, *, num_classes: int) -> Predictions:
    """Classify every record of a .rec file once, center-cropped to the model's shape, raw 0..255 RGB.

    A record holds one label, a class index, or a 0 or 1 for each class. ContainerError where a record is damaged, a
    label is no class, the model is of the other kind than the labels, or its output is no probability.
    """
    expected = _labels(records, num_classes)
    _check_kind(model, records, several=expected.ndim > 1)
    batch_size = min(BATCH_SIZE, len(expected))
    try:
        labels, outputs = _forward(model, records, batch_size, label_width=1 if expected.ndim == 1 else num_classes)
    except mx.MXNetError as error:
        raise ContainerError(f"{records}: MXNet cannot classify the records: {first_line(error)}") from None
    # The reader and MXNet must have seen the same records in the same order, or the scores describe other images.
    if not np.array_equal(labels, expected):
        raise ContainerError(f"{records}: MXNet read {len(labels)} records, {len(expected)} are in the file or differ")
    _check_probabilities(outputs, sum_to_one=expected.ndim == 1)
    return Predictions(labels=expected, probabilities=outputs)


def _forward(
    model: Model, records: Path, batch_size: int, *, label_width: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    executor = model.symbol.simple_bind(mx.cpu(), grad_req="null", **{DATA_NAME: (batch_size, *model.shape)})
    executor.copy_params_from(model.arguments, model.auxiliary, allow_extra_params=True)
    labels, outputs = [], []
    for batch in record_batches(records, model.shape, batch_size, label_width):
        # The iterator fills the last batch up with records from the start: they must not count twice.
        kept = batch_size - batch.pad
        (output,) = executor.forward(is_train=False, **{DATA_NAME: batch.data[0]})
        labels.append(batch.label[0].asnumpy()[:kept])
        outputs.append(output.asnumpy()[:kept].astype(np.float64))
    return np.concatenate(labels), np.concatenate(outputs)


def record_batches(
    records: Path, shape: tuple[int, int, int], batch_size: int, label_width: int
) -> Iterator[mx.io.DataBatch]:
    """Yield batches in file order, centre-cropped; the last has ``pad`` records of the file's start at its end.

    ``batch_size`` is at most the number of records, which MXNet's iterator needs; ``shape`` is that of one image.
    """
    yield from mx.io.ImageRecordIter(
        path_imgrec=str(records),
        data_shape=shape,
        batch_size=batch_size,
        label_width=label_width,
        shuffle=False,
        rand_crop=False,
        rand_mirror=False,
        round_batch=True,
        preprocess_threads=len(os.sched_getaffinity(0)),
        prefetch_buffer=2,
    )


def _labels(records: Path, num_classes: int) -> npt.NDArray[np.int64]:
    """Return class indices (n,), or 0 and 1 (n, classes) where the records hold a label for each class."""
    if not records.is_file():
        raise ContainerError(f"{records} does not exist: evaluation needs test images, give a test fraction above 0")
    rows = [record.header.labels for record in read_records(records)]
    if not rows:
        raise ContainerError(f"{records} holds no records: evaluation needs test images")
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1 or widths[0] not in (1, num_classes):
        raise ContainerError(
            f"{records}: records hold {' and '.join(map(str, widths))} labels; allowed are 1 each, the class, or "
            f"{num_classes}, a 0 or 1 for each class"
        )
    labels = np.array(rows, np.float64)
    several = widths[0] > 1
    last = 1 if several else num_classes - 1
    wrong = labels[(labels < 0) | (labels > last) | (labels != np.floor(labels))]
    if len(wrong):
        what = "is neither 0 nor 1" if several else f"is no class; allowed are 0 to {last}"
        raise ContainerError(f"{records}: label {wrong[0]:g} {what}")
    return labels.astype(np.int64) if several else labels[:, 0].astype(np.int64)


def _check_kind(model: Model, records: Path, *, several: bool) -> None:
    if several and not model.multi_label:
        raise ContainerError(
            f"{records} holds several labels per image, the model ends in {model.output} and chooses one class: "
            "train it with multi_label 1"
        )


def _check_probabilities(outputs: npt.NDArray[np.float64], *, sum_to_one: bool) -> None:
    broken = ~np.isfinite(outputs).all(axis=1)
    if broken.any():
        raise ContainerError(
            f"the model answers NaN or infinity for {int(broken.sum())} of {len(outputs)} test images: training "
            "diverged; lower the learning rate"
        )
    if sum_to_one:
        if (outputs < 0).any() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
            raise ContainerError(
                "the model's outputs are no probabilities (each row must sum to 1): it needs a softmax"
            )
    elif (outputs < 0).any() or (outputs > 1).any():
        raise ContainerError("the model's outputs are no probabilities (from 0 to 1 each): it needs a sigmoid")
