"""How a blue/green deployment is watched while the new fleet bakes: alarms, over minutes that last moments here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from local.emulator.alarms import evaluate
from local.emulator.clock import MINUTE, AccountTime, Clock, minute_of

_LOOK_SECONDS: Final = 0.05  # of real time, between two looks at the alarms
Publish = Callable[[datetime], None]  # puts what was asked since the last time into CloudWatch, as of that minute


class RolledBack(Exception):
    """The new fleet does not take over; the message says why."""


class Bakery:
    """Bakes of one account, in its `time`; `closing` ends them, and they are rolled back."""

    def __init__(self, cloudwatch: Any, *, clock: Clock, time: AccountTime, closing: threading.Event) -> None:
        self._cloudwatch = cloudwatch
        self._clock, self._time, self._closing = clock, time, closing

    def begin_minute(self) -> None:
        """Lets the account's minute end, so that what was asked before is of another one."""
        self._time.reach(minute_of(self._time.now()) + MINUTE)

    def bake(self, seconds: float, alarms: Sequence[str], *, publish: Publish) -> None:
        """Watches alarms for `seconds` of the account, minute by minute; raises RolledBack as soon as one rings.

        However short a minute lasts here, what is asked in it makes its datapoints, and a minute without requests
        has none. After each all alarms of the account are evaluated.
        """
        self._look(alarms)
        begin, real_begin = minute_of(self._time.now()), time.monotonic()
        minutes = math.ceil(seconds / MINUTE.total_seconds())
        for number in range(minutes):
            self._watch(alarms, until=real_begin + self._clock.real(seconds) * (number + 1) / minutes)
            minute = begin + number * MINUTE
            publish(minute)
            evaluate(self._cloudwatch, at=minute)
            self._look(alarms)
            self._time.reach(minute + MINUTE)

    def _watch(self, alarms: Sequence[str], *, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            if self._closing.wait(min(_LOOK_SECONDS, left)):
                raise RolledBack("The account was closed")
            self._look(alarms)

    def _look(self, alarms: Sequence[str]) -> None:
        known = self._cloudwatch.alarms
        for name in alarms:
            if name in known and known[name].state_value == "ALARM":
                reason = known[name].state_reason
                raise RolledBack(f"Alarm {name} is in ALARM, so the deployment is rolled back ({reason})")
