"""The account's clock: what waits for minutes in AWS waits for moments here."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Clock:
    """`scale` real seconds pass for each emulated one, at most `longest` at a stretch."""

    scale: float = 0.01
    longest: float = 2.0

    def real(self, seconds: float) -> float:
        """How long `seconds` of the account last, in real seconds."""
        return max(0.0, min(seconds * self.scale, self.longest))

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        """Waits `seconds` of the account, or until the event is set; returns whether it is."""
        return (until or threading.Event()).wait(self.real(seconds))
