"""Champion against challenger: exact tests, intervals, and noise that must not promote."""

import math

import numpy as np
import pytest

from evaluate.comparison import bootstrap_interval, compare, mcnemar


def test_the_same_answers() -> None:
    right = np.array([True, False, True])
    found = compare(right, right)
    assert (found.difference, found.interval, found.p_value, found.worse_by) == (0.0, (0.0, 0.0), 1.0, 0.0)


def test_difference_and_disagreements_by_hand() -> None:
    champion = np.array([True] * 6 + [False] * 4)
    challenger = np.array([True] * 4 + [False] * 2 + [True] * 3 + [False])
    found = compare(champion, challenger)
    assert (found.only_champion_right, found.only_challenger_right) == (2, 3)
    assert found.difference == pytest.approx(0.1)
    assert found.champion_accuracy == pytest.approx(0.6)
    assert found.interval[0] < 0.1 < found.interval[1]


@pytest.mark.parametrize(("fewer", "more"), [(0, 1), (0, 5), (1, 9), (3, 3), (4, 11), (40, 60)])
def test_mcnemar_against_the_binomial(fewer: int, more: int) -> None:
    total = fewer + more
    below = sum(math.comb(total, count) for count in range(fewer)) / 2**total
    expected = 2 * below + math.comb(total, fewer) / 2**total
    assert mcnemar(fewer, more) == mcnemar(more, fewer) == pytest.approx(expected)


def test_mcnemar_known_value() -> None:
    # exact: 2 (1 + 10) / 1024, less one of the two halves of the split that was seen
    assert mcnemar(1, 9) == pytest.approx(22 / 1024 - 10 / 1024)


@pytest.mark.parametrize(("only_champion", "only_challenger", "count"), [(10, 30, 400), (25, 5, 120), (3, 3, 50)])
def test_interval_against_resampling_records(only_champion: int, only_challenger: int, count: int) -> None:
    change = np.zeros(count)
    change[:only_champion], change[only_champion : only_champion + only_challenger] = -1, 1
    drawn = np.random.default_rng(9).integers(0, count, (20_000, count))
    expected = np.quantile(change[drawn].mean(axis=1), [0.025, 0.975])
    found = bootstrap_interval(only_champion, only_challenger, count)
    assert found == pytest.approx(expected, abs=2.5 / count)
    assert found == bootstrap_interval(only_champion, only_challenger, count)


def test_a_much_worse_challenger() -> None:
    champion, challenger = np.ones(100, bool), np.arange(100) < 60
    found = compare(champion, challenger)
    assert found.difference == pytest.approx(-0.4)
    assert 0.4 < found.worse_by < 0.55
    assert found.p_value < 1e-6
    assert compare(challenger, champion).worse_by == 0


def passes(generator: np.random.Generator, *, champion: float, challenger: float, count: int) -> bool:
    """Draw the answers of two models that find the same images hard, and tell whether a margin of 0 is kept."""
    difficulty = generator.random(count)
    # On six of ten images the two agree as far as their accuracies allow, on the others they are independent.
    own = np.where(generator.random(count) < 0.6, difficulty, generator.random(count))
    return compare(difficulty < champion, own < challenger).worse_by == 0


@pytest.mark.parametrize("count", [200, 1000])
def test_noise_does_not_promote(count: int) -> None:
    generator = np.random.default_rng(count)
    worse = sum(passes(generator, champion=0.90, challenger=0.87, count=count) for _ in range(600))
    assert worse / 600 <= 0.05
    better = sum(passes(generator, champion=0.85, challenger=0.95, count=count) for _ in range(100))
    assert better / 100 > 0.8
