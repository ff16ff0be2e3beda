"""Calibration and thresholds against numbers worked out by hand and against slow formulas."""

import numpy as np
import pytest

from evaluate.calibration import BINS, binned, calibration
from evaluate.predict import Predictions
from evaluate.thresholds import SMALLEST_SUPPORT, Threshold, thresholds


def predictions(confidences: list[float], right: list[bool]) -> Predictions:
    """Two classes, each record called class 0 with the given confidence."""
    column = np.array(confidences)
    return Predictions(
        labels=np.where(right, 0, 1).astype(np.int64), probabilities=np.stack([column, 1 - column], axis=1)
    )


def test_calibration_by_hand() -> None:
    # bins of 1/15: 0.62 and 0.66 are in (9/15, 10/15], 0.95 and 0.97 in (14/15, 1]
    found = calibration(predictions([0.62, 0.66, 0.95, 0.97], [True, False, True, True]))
    assert len(found.bins) == BINS == 15
    assert [(index, entry.count) for index, entry in enumerate(found.bins) if entry.count] == [(9, 2), (14, 2)]
    assert (found.bins[9].confidence, found.bins[9].accuracy) == pytest.approx((0.64, 0.5))
    assert found.expected_error == pytest.approx(0.5 * abs(0.64 - 0.5) + 0.5 * abs(0.96 - 1))
    assert found.maximum_error == pytest.approx(0.14)
    assert found.bins[0].confidence is None
    assert found.bins[0].accuracy is None


def test_edges_belong_to_the_lower_bin() -> None:
    found = binned(np.array([0.0, 0.2, 0.4, 1.0]), np.ones(4, bool))
    assert [index for index, entry in enumerate(found.bins) if entry.count] == [0, 2, 5, 14]


@pytest.mark.parametrize("seed", range(4))
def test_calibration_against_a_slow_formula(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(4, 0.5), 300)
    labels = generator.integers(0, 4, 300)
    gaps = []
    for index in range(15):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if index / 15 < row.max() <= (index + 1) / 15
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            gaps.append((len(inside), abs(confidence - right)))
    found = calibration(Predictions(labels=labels, probabilities=probabilities))
    assert found.expected_error == pytest.approx(sum(count * gap for count, gap in gaps) / 300)
    assert found.maximum_error == pytest.approx(max(gap for _, gap in gaps))


def test_perfect_and_hopeless_calibration() -> None:
    assert calibration(predictions([1.0] * 5, [True] * 5)).expected_error == 0
    assert calibration(predictions([1.0] * 5, [False] * 5)).expected_error == 1


def test_thresholds_by_hand() -> None:
    # by falling confidence: 18 right, 1 wrong, 1 right (19 of 20 right), 1 wrong
    confidences = [0.99 - 0.01 * step for step in range(18)] + [0.8, 0.79, 0.78]
    right = [True] * 18 + [False, True, False]
    found = thresholds(predictions(confidences, right), precision=0.95)
    expected = Threshold(threshold=0.79, precision=0.95, coverage=20 / 21, count=20, predicted=21)
    assert found.per_class[0] == found.overall == expected
    assert found.per_class[1] == Threshold(threshold=None, precision=None, coverage=0.0, count=0, predicted=0)
    stricter = thresholds(predictions(confidences, right), precision=1.0).per_class[0]
    assert (stricter.threshold, stricter.count) == (pytest.approx(0.82), 18)


def test_few_predictions_are_no_support() -> None:
    enough = [0.9 + 0.001 * step for step in range(SMALLEST_SUPPORT)]
    assert thresholds(predictions(enough, [True] * SMALLEST_SUPPORT), precision=0.9).overall.threshold == 0.9
    fewer = enough[1:]
    assert thresholds(predictions(fewer, [True] * len(fewer)), precision=0.9).overall.threshold is None


def test_equal_confidences_are_accepted_together() -> None:
    found = thresholds(predictions([0.9] * 20, [True] * 12 + [False] * 8), precision=0.9)
    assert found.overall.threshold is None
    found = thresholds(predictions([0.9] * 20, [True] * 18 + [False] * 2), precision=0.9)
    assert (found.overall.threshold, found.overall.count) == (0.9, 20)


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_against_a_slow_search(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(3, 0.4), 200).round(2)
    probabilities[:, 0] += 1 - probabilities.sum(axis=1)
    labels = np.where(generator.random(200) < 0.75, probabilities.argmax(axis=1), generator.integers(0, 3, 200))
    found = thresholds(Predictions(labels=labels, probabilities=probabilities), precision=0.85)
    for index, entry in enumerate(found.per_class):
        called = probabilities.argmax(axis=1) == index
        candidates = []
        for threshold in sorted(set(probabilities[called, index])):
            accepted = called & (probabilities[:, index] >= threshold)
            if accepted.sum() >= SMALLEST_SUPPORT and (labels[accepted] == index).mean() >= 0.85:
                candidates.append((threshold, (labels[accepted] == index).mean(), accepted.sum() / called.sum()))
        expected = candidates[0] if candidates else (None, None, 0.0)
        assert (entry.threshold, entry.precision, entry.coverage) == pytest.approx(expected)
