"""Metrics of one label and of several labels per image, over several batches."""

import numpy as np
import pytest

from train import metrics
from train.metrics import MultiLabelMetrics, OneLabelMetrics

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05], [0.5, 0.2, 0.3]])
LABELS = np.array([0.0, 1.0, 1.0, 1.0])


def test_values_do_not_depend_on_the_batches() -> None:
    counted = OneLabelMetrics(top_k=2)
    counted.update(PROBABILITIES[:3], LABELS[:3])
    counted.update(PROBABILITIES[3:], LABELS[3:])
    loss = -np.log([0.7, 0.3, 0.9, 0.2]).mean()
    assert counted.named() == pytest.approx({"accuracy": 0.5, "cross-entropy": loss, "top_k_accuracy_2": 0.75})


def test_without_top_k_it_is_not_reported() -> None:
    counted = OneLabelMetrics(top_k=None)
    counted.update(PROBABILITIES, LABELS)
    assert list(counted.named()) == ["accuracy", "cross-entropy"]


def test_a_probability_of_zero_stays_finite() -> None:
    counted = OneLabelMetrics(top_k=None)
    counted.update(np.array([[1.0, 0.0]]), np.array([1.0]))
    assert np.isfinite(counted.named()["cross-entropy"])


SEVERAL = np.array([[0.9, 0.2, 0.6], [0.4, 0.8, 0.1], [0.7, 0.5, 0.2], [0.1, 0.1, 0.9]])
FLAGS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32)


@pytest.mark.parametrize("split", [1, 2, 3, 4])
def test_several_labels_count_class_by_class(split: int) -> None:
    counted = MultiLabelMetrics(num_classes=3)
    counted.update(SEVERAL[:split], FLAGS[:split])
    counted.update(SEVERAL[split:], FLAGS[split:])
    loss = -np.log(np.where(FLAGS == 1, SEVERAL, 1 - SEVERAL)).mean()
    # Wrong answers: two in class 0, none in 1, two in 2. Class 2 is on no image, so F1 leaves it out.
    expected = {"accuracy": 8 / 12, "f1": (0.5 + 1.0) / 2, "cross-entropy": loss}
    assert counted.named() == pytest.approx(expected)


def test_f1_without_any_label_is_0() -> None:
    counted = MultiLabelMetrics(num_classes=3)
    counted.update(SEVERAL, np.zeros_like(FLAGS))
    assert counted.named()["f1"] == 0


def test_certain_and_wrong_stays_finite_with_several_labels() -> None:
    counted = MultiLabelMetrics(num_classes=2)
    counted.update(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))
    assert np.isfinite(counted.named()["cross-entropy"])


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_selecting_metric_is_reported(multi_label: bool) -> None:
    counted = metrics.create(num_classes=3, multi_label=multi_label, top_k=None)
    counted.update(SEVERAL, FLAGS if multi_label else np.zeros(4))
    assert metrics.selecting(multi_label=multi_label) in counted.named()
