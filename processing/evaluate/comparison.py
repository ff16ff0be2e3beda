"""Compares two models on the same test records: who is better, by how much, and whether it could be noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Challenger against champion; ``difference`` is challenger minus champion, ``interval`` its 95 % interval."""

    champion_accuracy: float
    difference: float
    interval: tuple[float, float]
    only_champion_right: int
    only_challenger_right: int
    p_value: float

    @property
    def worse_by(self) -> float:
        """How much worse the challenger may be: the distance of the interval's lower end below 0, else 0."""
        return max(0.0, -self.interval[0])


def compare(champion: npt.NDArray[np.bool_], challenger: npt.NDArray[np.bool_]) -> Comparison:
    """Compare which records (n,), at least one, each model gets right."""
    count = len(champion)
    only_champion = int((champion & ~challenger).sum())
    only_challenger = int((challenger & ~champion).sum())
    return Comparison(
        champion_accuracy=float(champion.mean()),
        difference=(only_challenger - only_champion) / count,
        interval=bootstrap_interval(only_champion, only_challenger, count),
        only_champion_right=only_champion,
        only_challenger_right=only_challenger,
        p_value=mcnemar(only_champion, only_challenger),
    )


def bootstrap_interval(only_champion: int, only_challenger: int, count: int) -> tuple[float, float]:
    """Return the percentile interval of the accuracy difference over 2,000 seeded resamples of ``count`` records.

    A record changes the difference by -1, 0 or 1, so drawing records with replacement is a multinomial draw of how
    often each of the three comes up. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.
    """
    shares = np.array([only_champion, only_challenger, count - only_champion - only_challenger]) / count
    draws = np.random.default_rng(SEED).multinomial(count, shares, size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / count, [tail, 1 - tail])
    return float(low), float(high)


def mcnemar(only_champion: int, only_challenger: int) -> float:
    """Return the two-sided mid-p value of McNemar's test on the records that one model alone gets right.

    The chance of so uneven a split, had both models the same accuracy; half of the probability of the very split that
    was seen does not count. Source: Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91, equation 4.
    """
    disagreements, fewer = only_champion + only_challenger, min(only_champion, only_challenger)
    if not disagreements:
        return 1.0
    up_to = float(bdtr(fewer, disagreements, 0.5))
    below = float(bdtr(fewer - 1, disagreements, 0.5)) if fewer else 0.0
    return min(1.0, up_to + below)
