"""What this process takes of its machine, from os.times and /proc: no further library needed."""

import os
import time
from pathlib import Path

STATUS = Path("/proc/self/status")


class Usage:
    """Processor and memory use since this object was made."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._busy = _processor_seconds()

    def measure(self) -> dict[str, float]:
        """cpu_percent: of all cores this process may run on, 100 at most; memory_bytes: resident at this moment."""
        available = (time.monotonic() - self._wall) * len(os.sched_getaffinity(0))
        busy = _processor_seconds() - self._busy
        # The kernel counts processor time in ticks of 10 ms, so a short epoch could come out above 100.
        percent = min(100.0, 100 * busy / available) if available > 0 else 0.0
        return {"cpu_percent": round(percent, 1), "memory_bytes": _resident_bytes()}


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _resident_bytes() -> int:
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
