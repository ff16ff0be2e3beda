"""Peak memory of this process with everything it started."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_INTERVAL_SECONDS = 0.2


class PeakMemory:
    """Samples the proportional set size (PSS) of the whole process tree while it is open."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def sample(self) -> None:
        """Looks now, besides regularly."""
        own = psutil.Process()
        self.peak_bytes = max(self.peak_bytes, _tree_bytes([own, *own.children(True)]))

    def _run(self) -> None:
        while True:
            self.sample()
            if self._stop.wait(_INTERVAL_SECONDS):
                return


def _tree_bytes(processes: list[psutil.Process]) -> int:
    """Memory of all; a page of several processes counts once in all."""
    sizes: dict[int, int] = {}
    total = 0
    for process in processes:
        try:
            sizes[process.pid] = process.memory_info().vms
            # Until a new process executes its program it runs in its parent's memory, which must not count twice.
            if sizes[process.pid] != sizes.get(process.ppid()):
                total += _proportional(process)
        except psutil.NoSuchProcess:
            continue  # it ended between being listed and being asked
    return total


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
