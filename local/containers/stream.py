"""Runs a command, writes its output to a log as it comes, and ends it with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# What SageMaker and Docker give a container between SIGTERM and SIGKILL is longer; a person waits here.
GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.1


def run_logged(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    on_line: Callable[[str], None],
    stop: threading.Event,
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    """Returns the exit code, negative for a signal. Once `stop` is set: SIGTERM to the whole group, later SIGKILL.

    What the command started and left behind is killed when it has ended, as a container's processes are.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        abandoned = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process, stop, abandoned, grace_seconds), daemon=True)
        watcher.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    on_line(line.rstrip("\n"))
        except BaseException:
            abandoned.set()
            raise
        finally:
            watcher.join()
        return process.wait()


def _watch(
    process: subprocess.Popen[str], stop: threading.Event, abandoned: threading.Event, grace_seconds: float
) -> None:
    """Waits for the end of the process, and brings it about where it is asked for."""
    kill_at: float | None = None
    while not _ended(process) and not abandoned.is_set():
        if kill_at is None and stop.is_set():
            _signal_group(process, signal.SIGTERM)
            kill_at = time.monotonic() + grace_seconds
        elif kill_at is not None and time.monotonic() >= kill_at:
            break
    _signal_group(process, signal.SIGKILL)  # of the whole group, also where the first process ended by itself
    process.wait()


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # nothing of it is left
