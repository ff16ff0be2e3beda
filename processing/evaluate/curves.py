"""ROC and precision-recall curves, thinned to what a page or a registry can show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

Curve = tuple[list[float], list[float]]
MAX_POINTS = 200


def roc(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], *, positive: int) -> Curve | None:
    """Return false and true positive rates of class ``positive`` against the rest; None where one side is absent."""
    truth = labels == positive
    if not 0 < truth.sum() < len(truth):
        return None
    false_rates, true_rates, _ = roc_curve(truth, probabilities[:, positive])
    return _thin(false_rates, true_rates)


def precision_recall(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], *, positive: int
) -> Curve | None:
    """Return precisions and recalls of class ``positive`` by rising recall; None where the class is absent."""
    truth = labels == positive
    if not truth.any():
        return None
    precisions, recalls, _ = precision_recall_curve(truth, probabilities[:, positive])
    return _thin(precisions[::-1], recalls[::-1])


def macro_roc(curves: list[Curve]) -> Curve:
    """Return the mean of ROC curves over a common grid of false positive rates."""
    grid = np.linspace(0, 1, MAX_POINTS)
    mean = np.mean([np.interp(grid, *curve) for curve in curves], axis=0)
    return _thin(np.concatenate([[0.0], grid]), np.concatenate([[0.0], mean]))


def _thin(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> Curve:
    """Keep at most MAX_POINTS points, evenly spread over the curve's points, both ends included."""
    kept = np.unique(np.linspace(0, len(first) - 1, MAX_POINTS).round().astype(int))
    return first[kept].tolist(), second[kept].tolist()
