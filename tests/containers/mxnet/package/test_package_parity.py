"""Parity: every record, both ways to differ, and what counts as a tie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.contract import ContainerError
from evaluate.predict import Predictions
from package.parity import TIE, TOLERANCE, check_parity

RECORDS = Path("test.rec")
CLASSES = ["cat", "dog", "owl"]


def answers(*rows: list[float], several: bool = False) -> Predictions:
    labels = np.zeros((len(rows), 3) if several else len(rows), np.int64)
    return Predictions(labels=labels, probabilities=np.array(rows, np.float64))


def test_equal_answers() -> None:
    found = check_parity(
        answers([0.7, 0.2, 0.1], [0.1, 0.1, 0.8]),
        answers([0.7, 0.2, 0.1], [0.1, 0.10002, 0.79998]),
        RECORDS,
        classes=CLASSES,
    )
    assert (found.records, found.ties) == (2, 0)
    assert found.max_difference == pytest.approx(2e-5)


def test_a_probability_beyond_the_tolerance() -> None:
    trained, exported = answers([0.7, 0.2, 0.1], [0.6, 0.3, 0.1]), answers([0.7, 0.2, 0.1], [0.59991, 0.2998, 0.10009])
    with pytest.raises(ContainerError, match=r"record 1 of test.rec is probability 0.300000 of 'dog' .* 0.299800 with"):
        check_parity(trained, exported, RECORDS, classes=CLASSES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_never_equal(value: float) -> None:
    with pytest.raises(ContainerError, match=r"record 1 of test.rec .* of 'owl'"):
        check_parity(answers([1, 0, 0], [0, 0, 1]), answers([1, 0, 0], [0, 0, value]), RECORDS, classes=CLASSES)


def test_another_class_within_the_tolerance() -> None:
    gap = TOLERANCE / 2
    trained, exported = answers([0.4 + gap, 0.4, 0.2]), answers([0.4, 0.4 + gap, 0.2])
    with pytest.raises(ContainerError, match=r"record 0 of test.rec is 'cat' with MXNet, 'dog' with ONNX Runtime"):
        check_parity(trained, exported, RECORDS, classes=CLASSES)


def test_a_tie_is_counted_and_no_difference() -> None:
    trained, exported = answers([0.4 + TIE / 2, 0.4, 0.2], [1, 0, 0]), answers([0.4, 0.4 + TIE / 2, 0.2], [1, 0, 0])
    assert check_parity(trained, exported, RECORDS, classes=CLASSES).ties == 1


def test_another_set_of_classes() -> None:
    trained = answers([0.9, 0.50003, 0.1], several=True)
    exported = answers([0.9, 0.49999, 0.1], several=True)
    with pytest.raises(ContainerError, match=r"is 'cat', 'dog' with MXNet, 'cat' with ONNX Runtime"):
        check_parity(trained, exported, RECORDS, classes=CLASSES)
    near = answers([0.9, 0.5, 0.1], several=True), answers([0.9, 0.5 - TIE / 2, 0.1], several=True)
    assert check_parity(*near, RECORDS, classes=CLASSES).ties == 1
