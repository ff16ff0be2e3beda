"""The two forms of an answer: the built-in algorithm's plain probabilities, and one with names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.errors import RefusedRequest
from serve.facts import Facts

# Enough for a person and for a list's answer to stay small however many classes there are.
RANKED = 10
# From here on an image of several labels is called a class, see evaluate.predict.
POSITIVE = 0.5

Row = npt.NDArray[np.float32]


def plain(rows: Sequence[Row], *, several: bool) -> bytes:
    """Return `[p0, p1, ...]` of one image, in label order, or a list of such lists."""
    return _encoded([row.tolist() for row in rows] if several else rows[0].tolist())


def verbose(rows: Sequence[Row], facts: Facts, *, name: str | None) -> bytes:
    """Return, for each image, the most probable class, whether it can be accepted, and the RANKED most probable ones.

    Of a model of several labels all classes that an image is called are ranked, however many.
    ``name`` is the model's, so that whoever asks knows which version answered.
    """
    return _encoded(
        {
            "predictions": [_prediction(row, facts) for row in rows],
            "model": {
                "name": name,
                "precision": facts.precision,
                "training_artifact_sha256": facts.training_artifact_sha256,
            },
        }
    )


def refusal(error: RefusedRequest) -> bytes:
    """Return `{"error": {"code", "message"}}`, with the image's index where a list holds it."""
    place = {} if error.index is None else {"index": error.index}
    return _encoded({"error": {"code": error.code, "message": " ".join(error.message.split()), **place}})


def _prediction(row: Row, facts: Facts) -> dict[str, Any]:
    called = int((row >= POSITIVE).sum()) if facts.multi_label else 0
    order = np.argsort(-row, kind="stable")[: max(RANKED, called)].tolist()
    best = order[0]
    threshold = facts.threshold(best)
    return {
        "label": facts.labels[best],
        "index": best,
        "probability": float(row[best]),
        "threshold": threshold,
        "accepted": None if threshold is None else bool(row[best] >= threshold),
        "ranked": [{"label": facts.labels[index], "probability": float(row[index])} for index in order],
    }


def _encoded(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
