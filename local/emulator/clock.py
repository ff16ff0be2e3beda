"""The account's clock: what waits for minutes in AWS waits for moments here, and CloudWatch counts the minutes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

MINUTE: Final = timedelta(minutes=1)


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


class AccountTime:
    """The time of day in the account: this machine's, and ahead of it by minutes that passed as moments.

    Naive and in UTC, as moto's times are; safe to use from several threads.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The time in the account now."""
        return self.at(time.time())

    def at(self, seconds: float) -> datetime:
        """The time in the account at a moment of this machine, in seconds since the epoch."""
        return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None) + self._ahead

    def reach(self, moment: datetime) -> None:
        """Lets the time pass until `moment`, where it is not later already."""
        with self._lock:
            self._ahead += max(timedelta(), moment - self.now())


def minute_of(moment: datetime) -> datetime:
    """The beginning of the minute that a moment lies in."""
    return moment.replace(second=0, microsecond=0)
