"""Classification scores from labels and probabilities, whole for any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, fbeta_score, log_loss, precision_recall_fscore_support, roc_auc_score

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
BINARY = 2


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One class: images that are it and that were called it, and scores; None where a score is not defined."""

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All scores of a test run; ``confusion`` (classes, classes) has a row per true class, None is not defined."""

    values: dict[str, float | None]
    top_k: int
    per_class: list[ClassScore]
    confusion: npt.NDArray[np.int64]


def score(labels: Labels, probabilities: Probabilities, *, classes: list[str], top_k: int) -> Scores:
    """Score probabilities (n, classes), rows summing to 1, against true labels (n,) in 0..classes-1; n at least 1.

    - macro and weighted precision, recall, F1 and worst-class recall: over the classes that occur in the test set;
      precision of a class that is never predicted is 0 (scikit-learn's convention).
    - mse: mean over records and classes of (probability - one-hot)^2, the multi-class Brier score over the classes.
    - log_loss: natural logarithm, probabilities clipped to the float's epsilon.
    - roc_auc: of class 1 for two classes, else the mean of one-versus-rest over the classes that occur; None where
      only one class occurs.
    - top_k_accuracy: the true class among the ``top_k`` most probable, at most the number of classes; ties go to the
      lower label, so top 1 is the accuracy.
    """
    count = len(classes)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, labels=range(count))
    per_class = _per_class(labels, predicted, probabilities, classes)
    present = [entry for entry in per_class if entry.support]
    top_k = min(top_k, count)
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    values: dict[str, float | None] = {
        "accuracy": float((predicted == labels).mean()),
        "top_k_accuracy": float((ranked == labels[:, None]).any(axis=1).mean()),
        "worst_class_recall": min(entry.recall or 0.0 for entry in present),
        "mse": float(((probabilities - np.eye(count)[labels]) ** 2).mean()),
        "log_loss": float(log_loss(labels, probabilities, labels=range(count))),
        "roc_auc": _overall_auc(per_class),
        **_averages(labels, predicted),
    }
    return Scores(values=values, top_k=top_k, per_class=per_class, confusion=confusion)


def f_beta(labels: Labels, predicted: Labels, *, beta: float, positive: int | None) -> float:
    """Return F-beta of class ``positive``, or weighted by support over the classes that occur for None."""
    if positive is not None:
        labels, predicted = labels == positive, predicted == positive
        return float(fbeta_score(labels, predicted, beta=beta, average="binary", zero_division=0.0))
    present = np.unique(labels)
    return float(fbeta_score(labels, predicted, beta=beta, labels=present, average="weighted", zero_division=0.0))


def _averages(labels: Labels, predicted: Labels) -> dict[str, float]:
    values = {}
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, predicted, labels=np.unique(labels), average=average, zero_division=0.0
        )
        values[f"{average}_precision"] = float(precision)
        values[f"{average}_recall"] = float(recall)
        values[f"{average}_f1"] = float(f1)
    return values


def _per_class(labels: Labels, predicted: Labels, probabilities: Probabilities, classes: list[str]) -> list[ClassScore]:
    columns: tuple[Any, ...] = precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), average=None, zero_division=0.0
    )
    calls = np.bincount(predicted, minlength=len(classes))
    entries = []
    for index, name in enumerate(classes):
        precision, recall, f1, support = (column[index] for column in columns)
        occurs = bool(support)
        entries.append(
            ClassScore(
                name=name,
                support=int(support),
                predicted=int(calls[index]),
                precision=float(precision) if occurs or calls[index] else None,
                recall=float(recall) if occurs else None,
                f1=float(f1) if occurs else None,
                roc_auc=float(roc_auc_score(labels == index, probabilities[:, index]))
                if 0 < support < len(labels)
                else None,
            )
        )
    return entries


def _overall_auc(per_class: list[ClassScore]) -> float | None:
    if len(per_class) == BINARY:
        return per_class[1].roc_auc
    known = [entry.roc_auc for entry in per_class if entry.roc_auc is not None]
    return float(np.mean(known)) if known else None
