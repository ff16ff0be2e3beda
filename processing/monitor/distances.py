"""How far two sets of counts lie apart, for one pair or for many simulated ones at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Added to every count, so that an empty bin is rare and not impossible (Jeffreys' prior).
PRIOR = 0.5


def population_stability_index(window: Counts, baseline: Counts) -> Any:
    """Return sum((p - q) ln(p / q)) over the last axis, with p and q the shares of counts (..., bins) plus PRIOR.

    Source: N. Siddiqi, Credit Risk Scorecards (2006), where up to 0.1 counts as stable; for its distribution without
    a shift B. Yurdakul, Statistical Properties of Population Stability Index (2018).
    """
    p, q = _shares(window), _shares(baseline)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def kolmogorov_smirnov(window: Counts, baseline: Counts) -> Any:
    """Return the largest difference of the cumulative shares of counts (..., bins), for bins that have an order.

    Source: the two-sample statistic of N. Smirnov (1939), over the histogram's edges.
    """
    p = window.cumsum(axis=-1) / window.sum(axis=-1, keepdims=True)
    q = baseline.cumsum(axis=-1) / baseline.sum(axis=-1, keepdims=True)
    return np.abs(p - q).max(axis=-1)


def _shares(counts: Counts) -> Floats:
    raised = counts + PRIOR
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float64)
