"""Everything that an evaluation found out about a model, before it is written to files."""

from __future__ import annotations

from dataclasses import dataclass

from common.dataset import Dataset
from common.training_record import TrainingRecord
from evaluate.calibration import Calibration, calibration
from evaluate.champion import Champion
from evaluate.metrics import Scores, score
from evaluate.multi_label import LabelScores, score_labels
from evaluate.predict import Predictions
from evaluate.thresholds import Thresholds, thresholds
from evaluate.trials import Trials


@dataclass(frozen=True, kw_only=True)
class Findings:
    """One evaluation; ``training`` is None for a model of the built-in image, ``trials`` where nothing was tuned."""

    predictions: Predictions
    dataset: Dataset
    scores: Scores | LabelScores
    calibration: Calibration
    thresholds: Thresholds
    champion: Champion
    training: TrainingRecord | None
    trials: Trials | None

    @property
    def metrics(self) -> dict[str, float | None]:
        """All single numbers by name, None where one is not defined."""
        return {**self.scores.values, "expected_calibration_error": self.calibration.expected_error}


def find(
    predictions: Predictions,
    dataset: Dataset,
    *,
    top_k: int,
    precision: float,
    champion: Champion,
    training: TrainingRecord | None,
    trials: Trials | None,
) -> Findings:
    """Score predictions by the kind of their labels; ``precision`` is what accepted predictions shall reach."""
    if predictions.multi_label:
        scores: Scores | LabelScores = score_labels(predictions, classes=dataset.classes, top_k=top_k)
    else:
        scores = score(predictions.labels, predictions.probabilities, classes=dataset.classes, top_k=top_k)
    return Findings(
        predictions=predictions,
        dataset=dataset,
        scores=scores,
        calibration=calibration(predictions),
        thresholds=thresholds(predictions, precision=precision),
        champion=champion,
        training=training,
        trials=trials,
    )
