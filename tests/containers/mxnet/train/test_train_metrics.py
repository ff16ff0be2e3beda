"""Accuracy, top-k accuracy and cross-entropy over several batches."""

import numpy as np
import pytest

from train.metrics import Metrics

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05], [0.5, 0.2, 0.3]])
LABELS = np.array([0.0, 1.0, 1.0, 1.0])


def test_values_do_not_depend_on_the_batches() -> None:
    metrics = Metrics(top_k=2)
    metrics.update(PROBABILITIES[:3], LABELS[:3])
    metrics.update(PROBABILITIES[3:], LABELS[3:])
    loss = -np.log([0.7, 0.3, 0.9, 0.2]).mean()
    assert metrics.named() == pytest.approx({"accuracy": 0.5, "cross-entropy": loss, "top_k_accuracy_2": 0.75})


def test_without_top_k_it_is_not_reported() -> None:
    metrics = Metrics(top_k=None)
    metrics.update(PROBABILITIES, LABELS)
    assert list(metrics.named()) == ["accuracy", "cross-entropy"]


def test_a_probability_of_zero_stays_finite() -> None:
    metrics = Metrics(top_k=None)
    metrics.update(np.array([[1.0, 0.0]]), np.array([1.0]))
    assert np.isfinite(metrics.loss)
