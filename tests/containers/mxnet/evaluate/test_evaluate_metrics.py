"""Scores against numbers worked out by hand, and the cases in which a score does not exist."""

import json
import math
from typing import Any

import numpy as np
import pytest
from known_model import dataset
from sklearn.metrics import f1_score, roc_auc_score

from common.files import json_bytes
from evaluate.champion import Champion
from evaluate.evaluation_json import evaluation
from evaluate.findings import find
from evaluate.metrics import Scores, score
from evaluate.predict import Predictions

NO_CHAMPION = Champion(version=None, comparison=None, reason="none", metric="accuracy")


def content_of(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the evaluation.json of class 0, class 1 and so on."""
    classes = [f"class {index}" for index in range(probabilities.shape[1])]
    found = find(
        Predictions(labels=labels, probabilities=probabilities),
        dataset(classes, test=len(labels)),
        top_k=5,
        precision=0.95,
        champion=NO_CHAMPION,
        training=None,
        trials=None,
    )
    return evaluation(found)


def score_rows(labels: list[int], rows: list[list[float]], *, top_k: int = 5) -> tuple[np.ndarray, np.ndarray, Scores]:
    probabilities = np.array(rows)
    classes = [f"class {index}" for index in range(probabilities.shape[1])]
    truth = np.array(labels, np.int64)
    return truth, probabilities, score(truth, probabilities, classes=classes, top_k=top_k)


def test_two_classes_by_hand() -> None:
    # true 0: called 0, 0, 1; true 1: called 1, 0
    rows = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3]]
    labels, probabilities, scores = score_rows([0, 0, 0, 1, 1], rows)
    assert scores.confusion.tolist() == [[2, 1], [1, 1]]
    values = scores.values
    assert values["accuracy"] == pytest.approx(3 / 5)
    assert values["macro_precision"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert values["macro_recall"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert values["weighted_f1"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    assert values["worst_class_recall"] == pytest.approx(1 / 2)
    # both columns have the same squared error: the mean is that of the positive class
    assert values["mse"] == pytest.approx((0.1**2 + 0.4**2 + 0.8**2 + 0.3**2 + 0.7**2) / 5)
    assert values["log_loss"] == pytest.approx(-sum(map(math.log, (0.9, 0.6, 0.2, 0.7, 0.3))) / 5)
    # of the 6 pairs of a positive (0.7, 0.3) and a negative (0.1, 0.4, 0.8), 3 are in order
    assert values["roc_auc"] == pytest.approx(3 / 6)
    block = content_of(labels, probabilities)["binary_classification_metrics"]
    assert block["confusion_matrix"]["class 0"] == {"class 0": 2, "class 1": 1}
    assert block["confusion_matrix"]["class 1"] == {"class 0": 1, "class 1": 1}
    expected = {"accuracy": 3 / 5, "false_positive_rate": 1 / 3, "true_negative_rate": 2 / 3}
    for name in ("precision", "recall", "true_positive_rate", "false_negative_rate", "auc", "f0_5", "f1", "f2"):
        expected[name] = 1 / 2
    assert {name: block[name]["value"] for name in expected} == pytest.approx(expected)
    curve = block["receiver_operating_characteristic_curve"]
    assert (curve["false_positive_rates"][0], curve["true_positive_rates"][-1]) == (0.0, 1.0)
    assert block["precision_recall_curve"]["recalls"] == sorted(block["precision_recall_curve"]["recalls"])


def test_three_classes_by_hand_f1_past_two_classes() -> None:
    rows = [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5], [0.1, 0.3, 0.6], [0.5, 0.3, 0.2], [0.05, 0.15, 0.8]]
    labels, probabilities, scores = score_rows([0, 1, 1, 2, 0, 0], rows, top_k=2)
    assert scores.confusion.tolist() == [[2, 0, 1], [0, 1, 1], [0, 0, 1]]
    assert [entry.recall for entry in scores.per_class] == pytest.approx([2 / 3, 1 / 2, 1])
    assert [entry.precision for entry in scores.per_class] == pytest.approx([1, 1, 1 / 3])
    assert [entry.f1 for entry in scores.per_class] == pytest.approx([4 / 5, 2 / 3, 1 / 2])
    assert scores.values["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 1 / 2) / 3)
    assert scores.values["weighted_f1"] == pytest.approx((3 * 4 / 5 + 2 * 2 / 3 + 1 / 2) / 6)
    assert scores.values["top_k_accuracy"] == pytest.approx(5 / 6)
    assert [(entry.support, entry.predicted) for entry in scores.per_class] == [(3, 2), (2, 1), (1, 3)]
    pairs = zip(labels, rows, strict=True)
    squares = sum((p - (index == label)) ** 2 for label, row in pairs for index, p in enumerate(row))
    assert scores.values["mse"] == pytest.approx(squares / 18)
    auc = np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in range(3)])
    assert scores.values["roc_auc"] == pytest.approx(auc)
    content = content_of(labels, probabilities)
    assert "binary_classification_metrics" not in content
    block = content["multiclass_classification_metrics"]
    assert block["confusion_matrix"]["class 0"] == {"class 0": 2, "class 1": 0, "class 2": 1}
    assert block["weighted_f1"]["value"] == scores.values["weighted_f1"]


GATED = (
    "accuracy",
    "top_k_accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "worst_class_recall",
    "mse",
    "log_loss",
    "expected_calibration_error",
)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [0, 1], [[0, 0], [0, 0]], [[1, 1], [0, 1]], [[1, 0], [1, 0]]])
@pytest.mark.parametrize("rows", [[[1, 0], [1, 0]], [[0, 1], [1, 0]], [[0.5, 0.5], [0.5, 0.5]]])
def test_what_gates_read_is_always_a_number(labels: list[Any], rows: list[list[float]]) -> None:
    content = content_of(np.array(labels, np.int64), np.array(rows, np.float64))
    values = {name: content["metrics"][name]["value"] for name in GATED} | {"by": content["champion"]["worse_by"]}
    assert {name: type(value) for name, value in values.items()} == dict.fromkeys(values, float)
    assert all(math.isfinite(value) for value in values.values())
    json_bytes(content)


@pytest.mark.parametrize("seed", range(12))
def test_properties_of_random_predictions(seed: int) -> None:
    generator = np.random.default_rng(seed)
    count, classes = int(generator.integers(20, 80)), int(generator.integers(2, 9))
    probabilities = generator.dirichlet(np.ones(classes), count)
    labels = generator.integers(0, classes, count)
    scores = score(labels, probabilities, classes=[str(index) for index in range(classes)], top_k=3)
    values = scores.values
    assert scores.confusion.sum() == count
    assert values["accuracy"] == pytest.approx(scores.confusion.trace() / count)
    assert values["weighted_recall"] == pytest.approx(values["accuracy"])
    assert values["accuracy"] <= values["top_k_accuracy"] <= 1
    assert values["worst_class_recall"] <= values["macro_recall"]
    assert values["weighted_f1"] == pytest.approx(f1_score(labels, probabilities.argmax(axis=1), average="weighted"))
    assert sum(entry.support for entry in scores.per_class) == count
    assert sum(entry.predicted for entry in scores.per_class) == count
    json.loads(json_bytes(content_of(labels, probabilities)))


def test_a_class_that_does_not_occur_does_not_spoil_the_averages() -> None:
    rows = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.9, 0], [0, 0.9, 0.1]]
    labels, probabilities, scores = score_rows([0, 0, 1, 1], rows)
    absent = scores.per_class[2]
    assert (absent.support, absent.recall, absent.f1, absent.precision, absent.roc_auc) == (0, None, None, None, None)
    assert scores.values["macro_f1"] == scores.values["roc_auc"] == scores.values["worst_class_recall"] == 1.0
    content = content_of(labels, probabilities)
    assert content["per_class"][2]["roc_auc"] is None
    assert b"NaN" not in json_bytes(content["per_class"]) + json_bytes(content["metrics"])


def test_an_absent_class_that_is_predicted_costs_precision() -> None:
    _, _, scores = score_rows([0, 1], [[0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    assert scores.per_class[2].precision == 0.0
    assert scores.values["macro_recall"] == 0.5


def test_one_class_only_has_no_auc() -> None:
    labels, probabilities, scores = score_rows([1, 1], [[0.4, 0.6], [0.7, 0.3]])
    assert scores.values["roc_auc"] is None
    content = content_of(labels, probabilities)
    assert content["metrics"]["roc_auc"] == {"value": None}
    assert "auc" not in content["binary_classification_metrics"]
    assert "receiver_operating_characteristic_curve" not in content["binary_classification_metrics"]
    assert "false_positive_rate" not in content["binary_classification_metrics"]
    json_bytes(content)


def test_certain_mistakes_have_a_finite_log_loss() -> None:
    _, _, scores = score_rows([1, 0], [[1.0, 0.0], [1.0, 0.0]])
    assert 10 < scores.values["log_loss"] < 100


def test_ties_and_a_k_beyond_the_classes() -> None:
    _, _, scores = score_rows([0, 1], [[0.5, 0.5], [0.5, 0.5]], top_k=1)
    assert scores.values["accuracy"] == scores.values["top_k_accuracy"] == 0.5
    _, _, scores = score_rows([0, 1], [[0.5, 0.5], [0.5, 0.5]], top_k=5)
    assert (scores.top_k, scores.values["top_k_accuracy"]) == (2, 1.0)
