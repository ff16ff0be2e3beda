"""Round values for the axes of charts."""

from __future__ import annotations

import math

STEPS = (1, 2, 2.5, 5, 10)


def round_ticks(high: float, *, count: int = 4) -> list[float]:
    """Return about ``count`` round values from 0 to ``high`` or a little beyond it."""
    rough = (high if high > 0 else 1.0) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if power * factor >= rough * (1 - 1e-9))
    return [round(index * step, 12) for index in range(math.ceil(high / step - 1e-9) + 1)] if high > 0 else [0.0, step]
