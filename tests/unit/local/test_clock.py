"""The account's time of day: this machine's, and ahead of it by what was cut short."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from local.emulator.clock import MINUTE, AccountTime, minute_of


def test_time_goes_on_by_itself_and_is_never_turned_back() -> None:
    account = AccountTime()
    start = account.now()
    assert abs(start - account.at(time.time())) < MINUTE
    account.reach(start + 10 * MINUTE)
    assert 10 * MINUTE <= account.now() - start < 11 * MINUTE
    account.reach(start)
    assert account.now() >= start + 10 * MINUTE
    assert account.at(0.0) - datetime(1970, 1, 1) >= 10 * MINUTE - timedelta(seconds=1)


def test_minutes_begin_with_second_zero() -> None:
    assert minute_of(datetime(2026, 1, 1, 12, 5, 59, 999)) == datetime(2026, 1, 1, 12, 5)
