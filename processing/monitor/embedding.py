"""How far the mean embedding of a window lies from the baseline's, in standard deviations of single images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.chance import SIMULATIONS, generator
from monitor.distances import Floats

# Directions that together hold this share of the variance are compared; the rest is mostly rounding and noise.
EXPLAINED = 0.95
# So many images a direction, window and baseline together, or fewer directions.
IMAGES_PER_DIRECTION = 20
SMALLEST_VARIANCE = 1e-6


class Sample(NamedTuple):
    """Embeddings of a set of images: how many, their mean (length) and sample covariance (length, length)."""

    size: int
    mean: Floats
    covariance: Floats


def mahalanobis(window: Sample, baseline: Sample) -> tuple[float, Floats]:
    """Return the Mahalanobis distance of the means, and SIMULATIONS values of what chance makes of it.

    The two-sample T-squared of H. Hotelling (1931) with the pooled covariance: with k directions and n + m images
    D^2 = T^2 (1/n + 1/m), and T^2 (n + m - k - 1) / (k (n + m - 2)) has an F distribution with k and n + m - k - 1
    degrees of freedom. The means of some dozen images are close enough to normal for it.
    """
    together = window.size + baseline.size
    pooled = ((baseline.size - 1) * baseline.covariance + (window.size - 1) * window.covariance) / (together - 2)
    values, vectors = _directions(pooled, at_most=max(1, together // IMAGES_PER_DIRECTION))
    along = (window.mean - baseline.mean) @ vectors
    k, rest, spread = len(values), together - len(values) - 1, 1 / window.size + 1 / baseline.size
    squares = generator().f(k, rest, size=SIMULATIONS) * k * (together - 2) / rest * spread
    return float(np.sqrt((along**2 / values).sum())), np.sqrt(squares)


class Unusualness:
    """How far single images lie from a baseline: the Mahalanobis distance, over directions of the same kind."""

    def __init__(self, baseline: Sample) -> None:
        self._mean = baseline.mean
        self._values, self._vectors = _directions(
            baseline.covariance, at_most=max(1, baseline.size // IMAGES_PER_DIRECTION)
        )

    def of(self, embedding: Floats) -> float:
        """Return the distance of one image."""
        along = (embedding - self._mean) @ self._vectors
        return float(np.sqrt((along**2 / self._values).sum()))


def _directions(covariance: Floats, *, at_most: int) -> tuple[Floats, Floats]:
    """Return variances (k) and unit vectors (length, k) of the principal directions, the widest first."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], SMALLEST_VARIANCE), vectors[:, ::-1]
    shares = values.cumsum() / values.sum()
    count = min(at_most, int(np.searchsorted(shares, EXPLAINED)) + 1, len(values))
    return values[:count], vectors[:, :count]
