"""How far the model's confidence can be believed: reliability bins and calibration errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluate.predict import Predictions

BINS = 15


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Predictions of confidence in (lower, upper]: how many, their mean confidence, and the share that was right."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None

    @property
    def gap(self) -> float:
        """Distance of confidence and accuracy; 0 for an empty bin."""
        return 0.0 if self.confidence is None or self.accuracy is None else abs(self.confidence - self.accuracy)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The bins by rising confidence; the mean gap weighted by count (ECE), and the largest (MCE)."""

    bins: list[Bin]
    expected_error: float
    maximum_error: float


def calibration(predictions: Predictions) -> Calibration:
    """Compare confidence with accuracy in 15 bins of equal width over 0 to 1.

    The confidence is the largest probability of each record, and right is the most probable class being the true one.
    Where an image may be of several classes, every probability is compared with the class being there.
    Source: Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599, equations 3 and 5.
    """
    if predictions.multi_label:
        return binned(predictions.probabilities.ravel(), predictions.truth.ravel())
    return binned(predictions.probabilities.max(axis=1), predictions.correct)


def binned(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Calibration:
    """Bin confidences (n,), at least one, with whether each was right; 0 itself belongs to the first bin."""
    edges = np.arange(BINS + 1) / BINS
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    confidences = np.bincount(place, weights=confidence, minlength=BINS)
    hits = np.bincount(place, weights=right.astype(np.float64), minlength=BINS)
    bins = [
        Bin(
            lower=float(edges[index]),
            upper=float(edges[index + 1]),
            count=int(count),
            confidence=float(confidences[index] / count) if count else None,
            accuracy=float(hits[index] / count) if count else None,
        )
        for index, count in enumerate(counts)
    ]
    return Calibration(
        bins=bins,
        expected_error=float(sum(entry.count * entry.gap for entry in bins) / len(confidence)),
        maximum_error=max(entry.gap for entry in bins),
    )
