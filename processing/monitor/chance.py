"""What a distance is by chance alone, when window and baseline come from one population: simulated, not assumed.

Given what both hold together, every way to deal the images out to window and baseline is equally likely then: R. A.
Fisher's conditional test (The Design of Experiments, 1935), carried out on random deals (M. Dwass, 1957). It holds for
any number of bins and images, small and empty ones included, where a fixed limit or chi-square does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.distances import Counts, Floats

SIMULATIONS = 10_000
_AT_ONCE = 2_000_000  # numbers held at a time
SEED = 20_060_611

Statistic = Callable[[Counts, Counts], Any]


def generator() -> np.random.Generator:
    """Return a generator that is always the same: equal inputs get equal thresholds."""
    return np.random.default_rng(SEED)


def deals(statistic: Statistic, window: Counts, baseline: Counts) -> Floats:
    """Return SIMULATIONS values of ``statistic`` of counts (bins) whose images are dealt out at random."""
    pooled, size = window + baseline, int(window.sum())
    random, step = generator(), max(1, _AT_ONCE // len(pooled))
    parts = []
    for start in range(0, SIMULATIONS, step):
        count = min(step, SIMULATIONS - start)
        dealt = random.multivariate_hypergeometric(pooled, size, size=count, method="marginals")
        parts.append(np.asarray(statistic(dealt, pooled - dealt), np.float64))
    return np.concatenate(parts)


def limit(by_chance: Floats, risk: float) -> float:
    """Return the value that chance exceeds with a probability of ``risk`` at most."""
    return float(np.quantile(by_chance, 1 - risk, method="higher"))


def p_value(by_chance: Floats, value: float) -> float:
    """Return how likely chance alone reaches ``value``; never 0 (B. Phipson and G. Smyth, 2010)."""
    return float((1 + np.count_nonzero(by_chance >= value - 1e-12)) / (1 + len(by_chance)))
