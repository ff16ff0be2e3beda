"""evaluation.json: one stable block that gates read, and the block that SageMaker's Model Registry displays."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from common.training_record import TrainingRecord
from evaluate import curves
from evaluate.calibration import Calibration
from evaluate.champion import champion_block
from evaluate.findings import Findings
from evaluate.metrics import BINARY, ClassScore, Labels, Probabilities, Scores, f_beta
from evaluate.multi_label import LabelScore, LabelScores
from evaluate.thresholds import Thresholds

SCHEMA_VERSION = 1
# The Model Monitor schema has this very string where a spread was not computed.
NO_SPREAD = "NaN"
# A matrix of names by names grows with the square of the classes; the plain one in this file is always whole.
REGISTRY_MATRIX_CLASSES = 100


def evaluation(findings: Findings) -> dict[str, Any]:
    """Return the content of evaluation.json; a metric that is not defined has the value null, never NaN."""
    return {
        "schema_version": SCHEMA_VERSION,
        "num_records": len(findings.predictions.labels),
        "classes": findings.dataset.classes,
        "multi_label": findings.predictions.multi_label,
        "metrics": {name: {"value": value} for name, value in findings.metrics.items()},
        "top_k": findings.scores.top_k,
        **_scored(findings),
        "calibration": _calibration(findings.calibration),
        "thresholds": _thresholds(findings.thresholds, findings.dataset.classes),
        "champion": champion_block(findings.champion),
        "training": _training(findings.training),
    }


def _scored(findings: Findings) -> dict[str, Any]:
    """Return the scores per class and the block for the registry, which depend on the kind of labels."""
    scores = findings.scores
    if isinstance(scores, LabelScores):
        return {
            "per_class": [_label_entry(entry) for entry in scores.per_class],
            "multiclass_classification_metrics": _several(scores),
        }
    labels, probabilities = findings.predictions.labels, findings.predictions.probabilities
    binary = len(scores.per_class) == BINARY
    block = "binary_classification_metrics" if binary else "multiclass_classification_metrics"
    return {
        "per_class": [_class_entry(entry) for entry in scores.per_class],
        "confusion_matrix": scores.confusion.tolist(),
        block: (_binary if binary else _multiclass)(labels, probabilities, scores),
    }


def _calibration(found: Calibration) -> dict[str, Any]:
    return {
        "expected_calibration_error": found.expected_error,
        "maximum_calibration_error": found.maximum_error,
        "bins": [asdict(entry) for entry in found.bins],
    }


def _thresholds(found: Thresholds, classes: list[str]) -> dict[str, Any]:
    return {
        "precision": found.precision,
        "per_class": [{"class": name, **asdict(entry)} for name, entry in zip(classes, found.per_class, strict=True)],
        "overall": asdict(found.overall),
    }


def _training(record: TrainingRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "best_epoch": record.best_epoch,
        "epochs": len(record.epochs),
        "checks_fired": [check.name for check in record.checks if check.fired],
    }


def _class_entry(entry: ClassScore) -> dict[str, Any]:
    return {
        "class": entry.name,
        "support": entry.support,
        "predicted": entry.predicted,
        "precision": entry.precision,
        "recall": entry.recall,
        "f1": entry.f1,
        "roc_auc": entry.roc_auc,
    }


def _label_entry(entry: LabelScore) -> dict[str, Any]:
    return {
        "class": entry.name,
        "support": entry.support,
        "predicted": entry.predicted,
        "accuracy": entry.accuracy,
        "precision": entry.precision,
        "recall": entry.recall,
        "f1": entry.f1,
        "roc_auc": entry.roc_auc,
        "average_precision": entry.average_precision,
        "expected_calibration_error": entry.calibration_error,
    }


def _several(scores: LabelScores) -> dict[str, Any]:
    """Return what of multiclass_classification_metrics has a meaning where an image may be of several classes."""
    names = ("accuracy", "weighted_precision", "weighted_recall", "weighted_f1")
    return _with_spread({name: scores.values[name] for name in names})


def _binary(labels: Labels, probabilities: Probabilities, scores: Scores) -> dict[str, Any]:
    """Return binary_classification_metrics; class 1 is the positive one.

    Source: SageMaker developer guide, "Model quality metrics and Amazon CloudWatch monitoring".
    """
    (true_negative, false_positive), (false_negative, true_positive) = scores.confusion.tolist()
    positive = scores.per_class[1]
    predicted = np.argmax(probabilities, axis=1)
    values = {
        "accuracy": scores.values["accuracy"],
        "precision": positive.precision,
        "recall": positive.recall,
        "true_positive_rate": _rate(true_positive, false_negative),
        "true_negative_rate": _rate(true_negative, false_positive),
        "false_positive_rate": _rate(false_positive, true_negative),
        "false_negative_rate": _rate(false_negative, true_positive),
        "auc": scores.values["roc_auc"],
        "f0_5": f_beta(labels, predicted, beta=0.5, positive=1),
        "f1": f_beta(labels, predicted, beta=1, positive=1),
        "f2": f_beta(labels, predicted, beta=2, positive=1),
    }
    block: dict[str, Any] = {"confusion_matrix": _matrix(scores), **_with_spread(values)}
    if (roc := curves.roc(labels, probabilities, positive=1)) is not None:
        block["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": roc[0],
            "true_positive_rates": roc[1],
        }
    if (pr := curves.precision_recall(labels, probabilities, positive=1)) is not None:
        block["precision_recall_curve"] = {"precisions": pr[0], "recalls": pr[1]}
    return block


def _multiclass(labels: Labels, probabilities: Probabilities, scores: Scores) -> dict[str, Any]:
    """Return multiclass_classification_metrics; the source is that of the binary block."""
    predicted = np.argmax(probabilities, axis=1)
    values = {
        "accuracy": scores.values["accuracy"],
        "weighted_precision": scores.values["weighted_precision"],
        "weighted_recall": scores.values["weighted_recall"],
        "weighted_f0_5": f_beta(labels, predicted, beta=0.5, positive=None),
        "weighted_f1": scores.values["weighted_f1"],
        "weighted_f2": f_beta(labels, predicted, beta=2, positive=None),
    }
    block: dict[str, Any] = _with_spread(values)
    if len(scores.per_class) <= REGISTRY_MATRIX_CLASSES:
        block["confusion_matrix"] = _matrix(scores)
    return block


def _matrix(scores: Scores) -> dict[str, dict[str, int]]:
    """Return the confusion matrix by names: true class, then predicted class."""
    names = [entry.name for entry in scores.per_class]
    rows = zip(names, scores.confusion.tolist(), strict=True)
    return {name: dict(zip(names, row, strict=True)) for name, row in rows}


def _with_spread(values: dict[str, float | None]) -> dict[str, Any]:
    """Leave out what is not defined: the registry shows numbers only."""
    return {
        name: {"value": value, "standard_deviation": NO_SPREAD} for name, value in values.items() if value is not None
    }


def _rate(hits: int, misses: int) -> float | None:
    return hits / (hits + misses) if hits + misses else None
