"""Classification scores where an image may be of several classes, or of none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from evaluate.calibration import binned
from evaluate.predict import Predictions

SMALLEST = 1e-15


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """One class: images that are of it and that were called it, and scores; None where a score is not defined."""

    name: str
    support: int
    predicted: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    average_precision: float | None
    calibration_error: float


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """All scores of a test run with several labels; None is not defined."""

    values: dict[str, float | None]
    top_k: int
    per_class: list[LabelScore]


def score_labels(predictions: Predictions, *, classes: list[str], top_k: int) -> LabelScores:
    """Score independent probabilities (n, classes) against 0 or 1 (n, classes); n at least 1.

    An image is called each class of at least 0.5.

    - accuracy: share of all n x classes answers that are right, the mean of the classes' accuracies.
    - subset_accuracy: share of images with every class right.
    - micro: over all answers together; macro and weighted: over the classes that occur, 0 where none does.
    - mean_average_precision: over the classes that occur; roc_auc: over those that occur and are also absent.
    - top_k_accuracy: of the images with any class, the share with one of theirs among the ``top_k`` most probable.
    - mse and log_loss: mean over all answers; natural logarithm, probabilities clipped to 1e-15.
    """
    truth, probabilities, chosen = predictions.truth, predictions.probabilities, predictions.chosen
    top_k = min(top_k, len(classes))
    per_class = [
        _label_score(name, truth[:, index], probabilities[:, index], chosen[:, index])
        for index, name in enumerate(classes)
    ]
    present = [entry for entry in per_class if entry.support]
    clipped = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    values: dict[str, float | None] = {
        "accuracy": float((chosen == truth).mean()),
        "subset_accuracy": float(predictions.correct.mean()),
        "top_k_accuracy": _top_k(truth, probabilities, top_k),
        "worst_class_recall": min((entry.recall or 0.0 for entry in present), default=0.0),
        "mse": float(((probabilities - truth) ** 2).mean()),
        "log_loss": float(-np.log(np.where(truth, clipped, 1 - clipped)).mean()),
        "roc_auc": _mean([entry.roc_auc for entry in present]),
        "mean_average_precision": _mean([entry.average_precision for entry in present]),
        **_averages(truth, chosen),
    }
    return LabelScores(values=values, top_k=top_k, per_class=per_class)


def _label_score(
    name: str, truth: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]
) -> LabelScore:
    hits, support, predicted = int((truth & chosen).sum()), int(truth.sum()), int(chosen.sum())
    return LabelScore(
        name=name,
        support=support,
        predicted=predicted,
        accuracy=float((truth == chosen).mean()),
        precision=hits / predicted if predicted else 0.0 if support else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predicted) if support else None,
        roc_auc=float(roc_auc_score(truth, probabilities)) if 0 < support < len(truth) else None,
        average_precision=float(average_precision_score(truth, probabilities)) if support else None,
        calibration_error=binned(probabilities, truth).expected_error,
    )


def _averages(truth: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> dict[str, float]:
    present = np.flatnonzero(truth.any(axis=0))
    values = {}
    for average in ("micro", "macro", "weighted"):
        scores = (0.0, 0.0, 0.0)
        if len(present):
            columns = slice(None) if average == "micro" else present
            scores = precision_recall_fscore_support(
                truth[:, columns], chosen[:, columns], average=average, zero_division=0.0
            )[:3]
        for name, value in zip(("precision", "recall", "f1"), scores, strict=True):
            values[f"{average}_{name}"] = float(value)
    return values


def _top_k(truth: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], top_k: int) -> float:
    labelled = truth.any(axis=1)
    if not labelled.any():
        return 0.0
    ranked = np.argsort(-probabilities[labelled], axis=1, kind="stable")[:, :top_k]
    return float(np.take_along_axis(truth[labelled], ranked, axis=1).any(axis=1).mean())


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
