"""Runs a command, writes its output to a log as it comes, and ends it with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_GRACE_SECONDS = 10.0


def run_logged(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    on_line: Callable[[str], None],
    stop: threading.Event,
) -> int:
    """Returns the exit code, negative for a signal. Once `stop` is set: SIGTERM to the whole group, later SIGKILL."""
    log.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    ended = threading.Event()
    watcher = threading.Thread(target=_end_on_stop, args=(process, stop, ended), daemon=True)
    watcher.start()
    try:
        assert process.stdout is not None
        with log.open("a", encoding="utf-8") as file:
            for line in process.stdout:
                file.write(line)
                file.flush()
                on_line(line.rstrip("\n"))
        return process.wait()
    finally:
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        ended.set()
        watcher.join()


def _end_on_stop(process: subprocess.Popen[str], stop: threading.Event, ended: threading.Event) -> None:
    while not stop.wait(0.1):
        if ended.is_set():
            return
    _signal_group(process, signal.SIGTERM)
    if not ended.wait(_GRACE_SECONDS):
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it has just ended by itself
