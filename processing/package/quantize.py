"""Makes an exported model int8, with the ranges of its activations taken from images that it is not tested on."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

from common.recordio import read_records
from evaluate.model import DATA_NAME
from package.batch_norm import as_convolutions
from package.onnx_model import ERRORS_ONLY, Images, read_images
from package.onnx_runtime import onnxruntime

# After it, for its import is ONNX Runtime's own.
from onnxruntime.quantization import (  # isort: skip
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

# Ranges no longer change after some hundred images, and each costs as much as several answers.
CALIBRATION_RECORDS = 256
SEED = 0
BATCH_SIZE = 16
# All others stay fp32; above all the softmax, whose int8 answers would be multiples of 1/256.
OPERATORS = ["Conv", "Gemm", "Add", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Identity"]
# The scores that the softmax gets.
FP32_OUTPUTS = ["Gemm"]


def calibration_images(
    records: Path, shape: tuple[int, int, int], *, limit: int = CALIBRATION_RECORDS
) -> Images | None:
    """Return up to ``limit`` images (n, *shape) of a .rec file, chosen by chance but always the same ones.

    None where there is no such file or no record in it. ContainerError where it is damaged.
    """
    widths = [len(record.header.labels) for record in read_records(records)] if records.is_file() else []
    if not widths:
        return None
    chosen = np.random.default_rng(SEED).permutation(len(widths))[:limit]
    kept, seen = [], 0
    for images, _ in read_images(records, shape, count=len(widths), label_width=widths[0]):
        kept.append(images[np.isin(np.arange(seen, seen + len(images)), chosen)])
        seen += len(images)
    return np.concatenate(kept)


def quantize(content: bytes, images: Images) -> bytes:
    """Return an ONNX model with int8 weights and activations, in ONNX Runtime's QDQ form, for processors.

    ``images`` (n, channels, height, width) are those whose activations give the ranges. Weights are quantised per
    channel, and to 7 bits: two products of 8 bits overflow the 16-bit sums of processors without VNNI, so that another
    machine than the one that measured the accuracy would answer differently.
    """
    with tempfile.TemporaryDirectory() as directory, _without_hints():
        prepared, quantized = (Path(directory) / name for name in ("prepared.onnx", "quantized.onnx"))
        _save_simplified(content, prepared)
        model = onnx.load(prepared)
        as_convolutions(model)
        quantize_static(
            model,
            quantized,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": FP32_OUTPUTS},
        )
        found = onnx.load(quantized)
    onnx.checker.check_model(found, full_check=True)
    return found.SerializeToString(deterministic=True)


def _save_simplified(content: bytes, path: Path) -> None:
    """Let ONNX Runtime write the model with each normalisation folded into the convolution before it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = ERRORS_ONLY
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands images to the calibration in batches."""

    def __init__(self, images: Images) -> None:
        self._batches = iter([images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)])

    def get_next(self) -> dict[str, Images] | None:
        batch = next(self._batches, None)
        return None if batch is None else {DATA_NAME: batch}


@contextmanager
def _without_hints() -> Iterator[None]:
    """Leave out what the quantisation advises in general, as to prepare the model first, which is done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
