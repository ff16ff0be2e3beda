"""The statistics: by hand, against what is known of them, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.chance import SIMULATIONS, deals, limit, p_value
from monitor.distances import kolmogorov_smirnov, population_stability_index
from monitor.embedding import Sample, Unusualness, mahalanobis
from monitor.scores import _shape
from monitor.several_labels import worst_class


def _counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_population_stability_index_by_hand() -> None:
    # shares with half an image added to each bin: 0.75 and 0.25 against 0.25 and 0.75
    assert population_stability_index(_counts(7, 2), _counts(2, 7)) == pytest.approx(1.0 * math.log(3))
    assert population_stability_index(_counts(5, 5), _counts(5, 5)) == 0


def test_kolmogorov_smirnov_by_hand() -> None:
    assert kolmogorov_smirnov(_counts(5, 5, 0), _counts(0, 5, 5)) == 0.5
    assert kolmogorov_smirnov(_counts(1, 2, 3), _counts(10, 20, 30)) == pytest.approx(0)


def test_chance_alone_is_what_theory_says() -> None:
    """Without a shift the PSI of large samples is (1/n + 1/m) times chi-square with bins - 1 (Yurdakul, 2018)."""
    window, baseline = _counts(200, 300, 500), _counts(400, 600, 1000)
    by_chance = deals(population_stability_index, window, baseline) / (1 / 1000 + 1 / 2000)
    assert len(by_chance) == SIMULATIONS
    assert by_chance.mean() == pytest.approx(2, rel=0.05)
    # chi-square with 2 degrees of freedom: 99 % at -2 ln 0.01
    assert limit(by_chance, 0.01) == pytest.approx(-2 * math.log(0.01), rel=0.1)


def test_kolmogorov_smirnov_critical_value() -> None:
    """c(0.01) sqrt((n + m) / (n m)) with c = sqrt(-ln(0.005) / 2) (Smirnov, 1948), over many bins."""
    bins = np.full(100, 20)
    found = limit(deals(kolmogorov_smirnov, bins, bins), 0.01)
    assert found == pytest.approx(math.sqrt(-math.log(0.005) / 2) * math.sqrt(2 / 2000), rel=0.05)


def test_p_values_are_never_zero_and_fit_the_limit() -> None:
    by_chance = deals(kolmogorov_smirnov, _counts(30, 20, 10), _counts(30, 30, 30))
    assert p_value(by_chance, 10.0) == pytest.approx(1 / (SIMULATIONS + 1))
    assert p_value(by_chance, 0.0) == 1
    above = by_chance[by_chance > limit(by_chance, 0.01)]
    assert len(above) / SIMULATIONS <= 0.01


def test_thresholds_are_the_same_in_every_run() -> None:
    arguments = (population_stability_index, _counts(3, 9, 4), _counts(8, 8, 8))
    assert np.array_equal(deals(*arguments), deals(*arguments))


def _sample(random: np.random.Generator, size: int, shift: float = 0.0) -> Sample:
    values = random.normal(size=(size, 6)) @ np.diag([3, 2, 1, 1, 0.5, 0.5]) + shift
    return Sample(size, values.mean(axis=0), np.cov(values.T))


def test_mahalanobis_distance_rarely_exceeds_its_limit_without_drift() -> None:
    random = np.random.default_rng(5)
    exceeded = 0
    for _ in range(300):
        value, by_chance = mahalanobis(_sample(random, 60), _sample(random, 90))
        exceeded += value > limit(by_chance, 0.05)
    assert 4 <= exceeded <= 30  # 15 are expected


def test_mahalanobis_distance_sees_a_shift() -> None:
    random = np.random.default_rng(6)
    value, by_chance = mahalanobis(_sample(random, 60, shift=1.0), _sample(random, 90))
    assert value > 1.5 * limit(by_chance, 0.001)


def test_few_images_compare_few_directions() -> None:
    random = np.random.default_rng(7)
    value, by_chance = mahalanobis(_sample(random, 20), _sample(random, 10))
    assert math.isfinite(value)
    assert np.isfinite(by_chance).all()


def test_unusualness_is_in_standard_deviations() -> None:
    baseline = Sample(1000, np.zeros(2), np.diag([4.0, 1.0]))
    assert Unusualness(baseline).of(np.array([6.0, 0.0])) == pytest.approx(3)


def test_images_that_are_all_alike_have_no_infinite_distance() -> None:
    flat = Sample(50, np.zeros(4), np.zeros((4, 4)))
    value, by_chance = mahalanobis(flat, flat)
    assert value == 0
    assert np.isfinite(by_chance).all()


def test_several_labels_name_the_class_that_stands_out() -> None:
    found = worst_class(_counts(50, 90), _counts(100, 60), sizes=(100, 200), classes=["a", "b"], effect=0.1, risk=0.001)
    assert found.drifted
    assert found.detail == "b: 30.0% then, 90.0% now"
    assert found.p_value < 1e-9


def test_several_labels_are_exact() -> None:
    """The risk is that of Fisher's exact test: summed over all deals beyond the limit it is at most what is granted."""
    called, size, tested, risk = 30, 40, 60, 0.02
    found = worst_class(_counts(12), _counts(18), sizes=(size, tested), classes=["a"], effect=0.0, risk=risk)
    total = math.comb(size + tested, called)
    beyond = sum(
        math.comb(size, now) * math.comb(tested, called - now) / total
        for now in range(called + 1)
        if population_stability_index(_counts(now, size - now), _counts(called - now, tested - called + now))
        > found.noise + 1e-12
    )
    assert 0 < beyond <= risk
    assert found.p_value == pytest.approx(1, abs=0.3)
    assert not found.drifted


@pytest.mark.parametrize(
    ("name", "then", "now", "said"),
    [
        ("confidence", 0.83, 0.863, "mean 0.830 then, 0.863 now"),
        ("brightness", 114.0, 9.6543, "mean 114.0 then, 9.7 now"),
        ("contrast", 40.04, 40.0, "mean 40.0 then, 40.0 now"),
        ("aspect", 1.0, 1.3333, "mean 1.000 then, 1.333 now"),
    ],
)
def test_both_means_have_the_same_number_of_decimals(name: str, then: float, now: float, said: str) -> None:
    counts = [3, 4]
    assert _shape(name, {"counts": counts, "mean": now}, {"counts": counts, "mean": then}).detail == said
