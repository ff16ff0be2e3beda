"""What every test has in common: signals that are handled as a new process handles them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


def handle_by_default() -> None:
    for number, handler in DEFAULTS.items():
        signal.signal(number, handler)


# A shell starts background jobs with SIGINT ignored, nohup with SIGHUP; what session fixtures start would inherit that.
handle_by_default()


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """The containers' `run` leaves its handlers to the rest of the process, here to the next test."""
    yield
    handle_by_default()
