"""Axes of charts: round tick values, and places of values between 0 and 1, linear, logarithmic or by category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# From this ratio of largest to smallest value on, an axis is logarithmic.
LOG_RATIO = 100
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One axis; ``kind`` is linear, log or category, ``ticks`` are (place in 0..1, text) from low to high."""

    kind: str
    low: float
    high: float
    categories: tuple[str, ...]
    ticks: list[tuple[float, str]]

    def place(self, value: str) -> float:
        """Return where a value of this axis, as text, stands between 0 and 1."""
        if self.kind == "category":
            return _spread(self.categories.index(value), len(self.categories))
        return _between(float(value), self.low, self.high, log=self.kind == "log")


def scale_of(values: Sequence[str]) -> Scale:
    """Choose an axis for values given as text, at least one: by category unless all are finite numbers."""
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        categories = tuple(sorted(set(values)))
        ticks = [(_spread(index, len(categories)), name) for index, name in enumerate(categories)]
        return Scale(kind="category", low=0, high=1, categories=categories, ticks=ticks)
    low, high = min(known), max(known)
    log = low > 0 and high / low > LOG_RATIO
    inner = _decades(low, high) if log else [low, (low + high) / 2, high] if high > low else [low]
    ticks = [(_between(value, low, high, log=log), _short(value)) for value in inner]
    return Scale(kind="log" if log else "linear", low=low, high=high, categories=(), ticks=ticks)


def round_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return about ``count`` round values that cover ``low`` to ``high``, the first and last at or beyond them."""
    span = high - low
    if span <= 0:
        span = abs(low) or 1.0
    rough = span / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if power * factor >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [round(index * step, 12) for index in range(first, last + 1)]


def _between(value: float, low: float, high: float, *, log: bool) -> float:
    if high <= low:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _spread(index: int, count: int) -> float:
    return 0.5 if count == 1 else index / (count - 1)


def _decades(low: float, high: float) -> list[float]:
    """Return both ends and the powers of ten between them that have room beside the ends."""
    span = math.log10(high / low)
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    apart = [value for value in powers if min(math.log10(value / low), math.log10(high / value)) > span / 8]
    return [low, *apart, high]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _short(value: float) -> str:
    return f"{value:.3g}"
