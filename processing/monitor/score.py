"""One score of a window: a distance from the baseline, and from where on it is drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.histogram import rounded
from monitor.chance import limit, p_value
from monitor.distances import Floats


@dataclass(frozen=True, kw_only=True)
class Score:
    """``threshold`` is the larger of ``effect``, below which a difference does not matter, and ``noise``.

    ``noise`` is what chance exceeds with the probability that one score is granted; ``detail`` says what stands out.
    """

    name: str
    value: float
    effect: float
    noise: float
    p_value: float
    detail: str = ""

    @property
    def threshold(self) -> float:
        """Return what ``value`` has to exceed."""
        return max(self.effect, self.noise)

    @property
    def drifted(self) -> bool:
        """Whether the difference is both too large to be chance and large enough to matter."""
        return self.value > self.threshold

    @property
    def ratio(self) -> float:
        """The value in thresholds; above 1 is drift."""
        return self.value / self.threshold

    def as_json(self) -> dict[str, Any]:
        """Return its entry of monitor.json."""
        return {
            "name": self.name,
            "value": rounded(self.value),
            "threshold": rounded(self.threshold),
            "effect": self.effect,
            "noise": rounded(self.noise),
            "p_value": rounded(self.p_value),
            "drifted": self.drifted,
            "detail": self.detail,
        }


def score(name: str, value: float, by_chance: Floats, *, effect: float, risk: float, detail: str = "") -> Score:
    """Judge ``value`` by what chance alone gives; ``risk`` is the probability of a false alarm that is granted."""
    return Score(
        name=name,
        value=value,
        effect=effect,
        noise=limit(by_chance, risk),
        p_value=p_value(by_chance, value),
        detail=detail,
    )
