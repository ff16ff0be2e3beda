"""Histograms over fixed edges with mean and spread, so that those of two samples can be compared bin by bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# The last bits of a float sum depend on NumPy's release and the processor; what is written must not.
DECIMALS = 6


def histogram(values: Sequence[float] | npt.NDArray[Any], edges: Sequence[float]) -> dict[str, Any]:
    """Return ``edges`` (k + 1, rising), ``counts`` (k), ``mean`` and ``std`` (population) of at least one value.

    Bin i holds edges[i] <= value < edges[i + 1]; values beyond either end count in the outermost bin.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise ValueError("a histogram needs at least one value")
    bins = np.clip(np.searchsorted(edges, array, side="right") - 1, 0, len(edges) - 2)
    return {
        "edges": [float(edge) for edge in edges],
        "counts": np.bincount(bins, minlength=len(edges) - 1).tolist(),
        "mean": rounded(array.mean()),
        "std": rounded(array.std()),
    }


def rounded(value: Any) -> float:
    """Return a number with DECIMALS decimals, never -0."""
    return round(float(value), DECIMALS) + 0.0
