"""What a command costs: time on the clock, CPU time and memory of its whole process tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL_SECONDS = 0.02
_LINES_OF_A_FAILURE = 5


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says why, and the way out."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One run: seconds on the clock, and CPU seconds (user and system) of the process and all that it waited for.

    ``sync_seconds`` is what it took afterwards to bring its records to disk, which a contestant may have done itself.
    """

    wall_seconds: float
    cpu_seconds: float
    sync_seconds: float = 0.0

    @property
    def on_disk_seconds(self) -> float:
        """Seconds on the clock until the records are on disk."""
        return self.wall_seconds + self.sync_seconds


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program with its arguments, its environment, and the file that takes what it prints."""

    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path


def run(command: Command) -> Cost:
    """Run to the end; BenchmarkError with the last lines printed where it fails."""
    with command.log.open("wb") as log:
        start = time.perf_counter()
        process = _started(command, log.fileno())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it again
    _check(command, process.returncode)
    return Cost(wall_seconds=wall, cpu_seconds=usage.ru_utime + usage.ru_stime)


def sync(path: Path) -> float:
    """Wait until a file is on disk, so that the next run finds the disk idle; returns the seconds it took."""
    start = time.perf_counter()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return time.perf_counter() - start


def peak_memory(command: Command) -> int:
    """Run to the end while looking at the tree's memory; returns the peak in bytes, a shared page counted once.

    Looking costs CPU time that others then lack, so a run that is timed is not looked at.
    """
    ended = threading.Event()
    with command.log.open("wb") as log:
        process = _started(command, log.fileno())
        sampler = _Sampler(process.pid, ended)
        sampler.start()
        process.wait()
        ended.set()
        sampler.join()
    _check(command, process.returncode)
    return sampler.peak_bytes


def _started(command: Command, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command.words), env=dict(command.environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )


def _check(command: Command, code: int) -> None:
    if code:
        lines = command.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_OF_A_FAILURE:]
        raise BenchmarkError(f"{' '.join(command.words)} ended with {code}: " + " | ".join(lines))


class _Sampler(threading.Thread):
    """Samples the proportional set size (PSS) of a process with everything below it."""

    def __init__(self, pid: int, ended: threading.Event) -> None:
        super().__init__(name="peak-memory", daemon=True)
        self.peak_bytes = 0
        self._pid = pid
        self._ended = ended

    def run(self) -> None:
        """Look until the process has ended."""
        while not self._ended.wait(_INTERVAL_SECONDS):
            try:
                root = psutil.Process(self._pid)
                self.peak_bytes = max(self.peak_bytes, _tree_bytes([root, *root.children(recursive=True)]))
            except psutil.NoSuchProcess:
                return


def _tree_bytes(processes: Sequence[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += int(process.memory_full_info().pss)
        except psutil.NoSuchProcess:
            continue  # it ended between being listed and being asked
    return total
