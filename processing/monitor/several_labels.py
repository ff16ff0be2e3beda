"""The prediction mix where an image may be called several classes: each class by itself, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.distances import Counts, Floats, population_stability_index
from monitor.score import Score


def worst_class(
    now: Counts, then: Counts, *, sizes: tuple[int, int], classes: Sequence[str], effect: float, risk: float
) -> Score:
    """Return the score of the class that stands out most; each class is granted an equal part of ``risk``.

    ``now`` and ``then`` (classes) are images called each class, of ``sizes`` images. The value is the PSI of "called
    so" and "not". As classes of one image depend on each other, nothing but Bonferroni's inequality joins them.
    """
    found = [
        _score(int(now[index]), int(then[index]), sizes, name, effect=effect, risk=risk / len(classes))
        for index, name in enumerate(classes)
    ]
    return max(found, key=lambda item: item.ratio)


def _score(now: int, then: int, sizes: tuple[int, int], name: str, *, effect: float, risk: float) -> Score:
    size, tested = sizes
    called = now + then
    possible = np.arange(max(0, called - tested), min(size, called) + 1)
    values = _psi(possible, called - possible, sizes)
    chances = _hypergeometric(possible, called=called, size=size, tested=tested)
    value = float(_psi(np.array([now]), np.array([then]), sizes)[0])
    order = np.argsort(-values, kind="stable")
    reached = np.flatnonzero(chances[order].cumsum() > risk)
    return Score(
        name="prediction_mix",
        value=value,
        effect=effect,
        noise=float(values[order[reached[0]]]) if len(reached) else 0.0,
        p_value=min(1.0, float(chances[values >= value - 1e-12].sum())),
        detail=f"{name}: {100 * then / tested:.1f}% then, {100 * now / size:.1f}% now",
    )


def _psi(now: Counts, then: Counts, sizes: tuple[int, int]) -> Floats:
    window = np.stack([now, sizes[0] - now], axis=-1)
    baseline = np.stack([then, sizes[1] - then], axis=-1)
    return np.asarray(population_stability_index(window, baseline), np.float64)


def _hypergeometric(possible: Counts, *, called: int, size: int, tested: int) -> Floats:
    """Return the probability of each number in ``possible`` of ``called`` images among ``size`` of size + tested."""
    factorials = np.concatenate([[0.0], np.log(np.arange(1, size + tested + 1)).cumsum()])

    def choose(n: int, k: Counts) -> Floats:
        return np.asarray(factorials[n] - factorials[k] - factorials[n - k], np.float64)

    logarithms = choose(size, possible) + choose(tested, called - possible)
    return np.asarray(np.exp(logarithms - choose(size + tested, np.array(called))), np.float64)
