"""Suggests from which confidence on a prediction can be accepted without a person looking at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluate.predict import Predictions

# A threshold that fewer accepted predictions speak for is luck: none is suggested.
SMALLEST_SUPPORT = 10


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A suggestion for the predictions of one class, or of all.

    ``threshold`` is None where there is no suggestion, and so is ``precision``. ``coverage`` is the share of the
    ``predicted`` predictions that are accepted, ``count`` their number.
    """

    threshold: float | None
    precision: float | None
    coverage: float
    count: int
    predicted: int


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Suggestions at the wished ``precision``: for each class, in label order, and for all predictions together."""

    precision: float
    per_class: list[Threshold]
    overall: Threshold


def thresholds(predictions: Predictions, *, precision: float) -> Thresholds:
    """Return the smallest confidence at which the accepted predictions of the test set reach ``precision`` (0 to 1).

    A prediction is a record's most probable class with its probability; where an image may be of several classes, each
    class of at least 0.5. It is accepted if its confidence is at least the threshold, and right if the image is of that
    class. The thresholds are chosen and measured on the same images, which flatters them, the more so the fewer images
    they rest on. So none is suggested that accepts fewer than SMALLEST_SUPPORT predictions, none lies below the lowest
    confidence that was seen, and the count is given with each.
    """
    chosen, truth = predictions.chosen, predictions.truth
    per_class = [
        _smallest(predictions.probabilities[called, index], truth[called, index], precision)
        for index, called in enumerate(chosen.T)
    ]
    return Thresholds(
        precision=precision,
        per_class=per_class,
        overall=_smallest(predictions.probabilities[chosen], truth[chosen], precision),
    )


def _smallest(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], precision: float) -> Threshold:
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    accepted = np.arange(1, len(order) + 1)
    precisions = np.cumsum(right[order]) / accepted
    # Equal confidences are accepted together: only the last of them tells the precision of a threshold.
    last = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)[: len(order)]
    reached = np.flatnonzero(last & (precisions >= precision) & (accepted >= SMALLEST_SUPPORT))
    if not len(reached):
        return Threshold(threshold=None, precision=None, coverage=0.0, count=0, predicted=len(order))
    at = int(reached[-1])
    return Threshold(
        threshold=float(sorted_confidence[at]),
        precision=float(precisions[at]),
        coverage=float(accepted[at] / len(order)),
        count=int(accepted[at]),
        predicted=len(order),
    )
