"""Runs an ONNX model over records, on the very pixels that MXNet's reader makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.contract import ContainerError
from evaluate.model import DATA_NAME
from evaluate.predict import BATCH_SIZE, Predictions, record_batches
from package.onnx_runtime import onnxruntime

Images = npt.NDArray[np.float32]
ERRORS_ONLY = 3


class OnnxModel:
    """An ONNX model in ONNX Runtime on the processor; ``shape`` is the input of one image."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        _, channels, height, width = self._session.get_inputs()[0].shape
        self.shape: tuple[int, int, int] = (channels, height, width)

    def probabilities(self, images: Images) -> npt.NDArray[np.float64]:
        """Classify (n, channels, height, width) images, raw 0..255 RGB: (n, classes)."""
        (output,) = self._session.run(None, {DATA_NAME: images})
        return np.asarray(output, np.float64)

    def predict(self, records: Path, labels: npt.NDArray[np.int64]) -> Predictions:
        """Classify every record; ContainerError where their labels, (n,) or (n, classes), are not ``labels``."""
        read, outputs = [], []
        width = 1 if labels.ndim == 1 else labels.shape[1]
        for images, found in read_images(records, self.shape, count=len(labels), label_width=width):
            read.append(found)
            outputs.append(self.probabilities(images))
        if not np.array_equal(np.concatenate(read), labels):
            raise ContainerError(f"{records} holds other labels than at its first reading: nothing may write it now")
        return Predictions(labels=labels, probabilities=np.concatenate(outputs))


def read_images(
    records: Path, shape: tuple[int, int, int], *, count: int, label_width: int
) -> Iterator[tuple[Images, npt.NDArray[np.float32]]]:
    """Yield images (n, *shape) and labels of all ``count`` records in batches, centre-cropped as in evaluation."""
    batch_size = min(BATCH_SIZE, count)
    for batch in record_batches(records, shape, batch_size, label_width):
        kept = batch_size - batch.pad
        yield batch.data[0].asnumpy()[:kept], batch.label[0].asnumpy()[:kept]
