"""Early stopping: patience, minimum epochs, relative tolerance."""

import pytest

from train import hyperparameters
from train.stopping import EarlyStopping


def last_epoch(accuracies: list[float], **given: str) -> int | None:
    """Index of the epoch after which training stops, None if it runs through."""
    base = {"num_classes": "2", "num_training_samples": "10", "early_stopping": "True"}
    stopping = EarlyStopping(hyperparameters.parse(base | {"early_stopping_min_epochs": "1"} | given))
    for epoch, value in enumerate(accuracies):
        stopping.add(value)
        if stopping.stopped:
            return epoch
    return None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"early_stopping_patience": "2"}, 3),
        ({"early_stopping_patience": "3"}, 4),
        ({"early_stopping_patience": "2", "early_stopping_min_epochs": "5"}, 4),
        ({"early_stopping_patience": "4"}, None),
        ({"early_stopping": "False", "early_stopping_patience": "1"}, None),
    ],
)
def test_patience_and_minimum(given: dict[str, str], expected: int | None) -> None:
    assert last_epoch([0.5, 0.6, 0.6, 0.55, 0.6, 0.7], **given) == expected


def test_a_gain_below_the_tolerance_is_none() -> None:
    slow = [0.500, 0.502, 0.504, 0.506]
    assert last_epoch(slow, early_stopping_patience="2", early_stopping_tolerance="0.05") == 2
    assert last_epoch(slow, early_stopping_patience="2", early_stopping_tolerance="0.001") is None


def test_small_gains_add_up_against_the_best() -> None:
    rising = [0.50, 0.51, 0.52, 0.53, 0.54, 0.55]
    assert last_epoch(rising, early_stopping_patience="3", early_stopping_tolerance="0.03") is None


def test_accuracy_zero_is_no_division_by_zero() -> None:
    assert last_epoch([0.0, 0.0, 0.0], early_stopping_patience="2") == 2
