"""Decides in which precision a model is served: int8 where it was asked for and costs little enough, else fp32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluate.predict import Predictions
from package.onnx_model import OnnxModel
from package.quantize import calibration_images, quantize
from package.scores import accuracy, right_answers

FP32, INT8 = "fp32", "int8"
PRECISIONS = (FP32, INT8)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The model that is served, as an ONNX file, with its answers to the test records and why it is this one.

    ``reason`` is None where it is the one that was asked for. ``int8`` are the answers and ``int8_bytes`` is the size
    of the quantised model, served or not; both are None where there is none.
    """

    requested: str
    precision: str
    reason: str | None
    content: bytes
    answers: Predictions
    int8: Predictions | None = None
    int8_bytes: int | None = None


def choose(
    exported: bytes,
    answers: Predictions,
    *,
    requested: str,
    max_accuracy_drop: float,
    min_accuracy: float = 0.0,
    test: Path,
    validation: Path,
) -> Chosen:
    """Return the quantised model where it was asked for and loses less than ``max_accuracy_drop`` on the test records.

    Nor may it fall below ``min_accuracy``, which the trained model had to reach.
    ``exported`` is the fp32 model, ``answers`` are its answers to the records ``test``. The quantised one is calibrated
    on the records ``validation`` alone: on test records it would be measured on what it was fitted to.
    """
    fp32 = Chosen(requested=requested, precision=FP32, reason=None, content=exported, answers=answers)
    if requested == FP32:
        return fp32
    images = calibration_images(validation, OnnxModel(exported).shape)
    if images is None:
        reason = f"there are no validation records to calibrate {INT8} with: give a validation fraction above 0"
        return _without_int8(fp32, reason)
    content = quantize(exported, images)
    found = OnnxModel(content).predict(test, answers.labels)
    (before, total), (after, _) = right_answers(answers), right_answers(found)
    cheap, enough = before - after < max_accuracy_drop * total, after >= min_accuracy * total
    if cheap and enough:
        return Chosen(
            requested=requested,
            precision=INT8,
            reason=None,
            content=content,
            answers=found,
            int8=found,
            int8_bytes=len(content),
        )
    reason = (
        f"{INT8} lowers the accuracy on the test records from {accuracy(answers):.4f} to {accuracy(found):.4f}; "
        + (f"a model needs {min_accuracy:g}" if cheap else f"it has to lose less than {max_accuracy_drop:g}")
    )
    return _without_int8(fp32, reason, int8=found, int8_bytes=len(content))


def _without_int8(
    fp32: Chosen, reason: str, *, int8: Predictions | None = None, int8_bytes: int | None = None
) -> Chosen:
    return Chosen(
        requested=fp32.requested,
        precision=FP32,
        reason=reason,
        content=fp32.content,
        answers=fp32.answers,
        int8=int8,
        int8_bytes=int8_bytes,
    )
