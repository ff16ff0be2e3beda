"""How right answers are, in whole answers, so that no rounding decides what is served."""

from __future__ import annotations

from evaluate.predict import Predictions


def right_answers(predictions: Predictions) -> tuple[int, int]:
    """Return how many answers are right, and of how many: the ratio is `accuracy` of evaluation.json.

    An answer is the class of a record; where a record may be of several classes, each class of each record is one.
    """
    if predictions.multi_label:
        return int((predictions.chosen == predictions.truth).sum()), int(predictions.truth.size)
    return int(predictions.correct.sum()), len(predictions.labels)


def accuracy(predictions: Predictions) -> float:
    """Return the share of right answers, 0 to 1."""
    right, total = right_answers(predictions)
    return right / total
