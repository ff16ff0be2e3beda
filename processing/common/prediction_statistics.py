"""What a model says about a set of images in numbers: how often each class, and how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from common.histogram import histogram, rounded

CONFIDENCE_EDGES = tuple(step / 20 for step in range(21))


def summarise_predictions(predicted: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the block ``predictions`` of baseline.json for at least one image.

    ``predicted`` (n, classes) tells which classes each image was called (one of them, or any number with several
    labels), ``confidence`` (n,) is its largest probability. ``counts`` and ``shares`` have an entry per class, in label
    order: images that were called it, and their part of all images; ``confidence`` is a histogram.
    """
    counts = predicted.sum(axis=0)
    return {
        "counts": counts.tolist(),
        "shares": [rounded(count / len(predicted)) for count in counts.tolist()],
        "confidence": histogram(confidence, CONFIDENCE_EDGES),
    }
