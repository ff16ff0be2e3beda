"""How a command that works on this machine is ended: by Ctrl-C, a signal or the loss of its terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

STOPPED: Final = 130  # 128 + SIGINT, as a shell reports it


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While open, being ended or losing the terminal is the same as Ctrl-C: containers are stopped, states recorded."""
    earlier = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL  # else the caller wants it otherwise, as nohup does
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def end_stopped(directory: Path) -> NoReturn:
    """Ends the command after a run that was stopped; `directory` is the run's."""
    print(f"stopped, what had been done is in {directory}", file=sys.stderr)
    sys.exit(STOPPED)
