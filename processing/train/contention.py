"""Notices that other programs keep the cores busy, which slows threads that wait for each other down many times."""

from pathlib import Path

from train.logs import log

TASKS = Path("/proc/self/task")
# Share of the time in which threads had to wait for a core; on an idle machine it is a few hundredths.
CROWDED = 0.15


class Contention:
    """Says once, in a line that starts with `Hint:`, that one thread would do better; silent with one thread."""

    def __init__(self, threads: int, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._told = threads == 1
        self._ran, self._waited = self._measure()

    def look(self) -> None:
        """Compare with the last look; call it after each epoch."""
        ran, waited = self._measure()
        more_ran, more_waited = ran - self._ran, waited - self._waited
        self._ran, self._waited = ran, waited
        share = more_waited / (more_ran + more_waited) if more_ran > 0 else 0.0
        if share > CROWDED and not self._told:
            self._told = True
            log(
                f"Hint: other programs use this machine's cores, threads waited {share:.0%} of their time for one; "
                "OMP_NUM_THREADS=1 trains faster then, to slightly different metrics"
            )

    def _measure(self) -> tuple[int, int]:
        """Nanoseconds that the threads of this process ran and waited; Linux, Documentation/scheduler/sched-stats.rst.

        0 where the kernel keeps no such statistics.
        """
        ran = waited = 0
        for path in self._tasks.glob("*/schedstat"):
            try:
                fields = path.read_text(encoding="ascii").split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
        return ran, waited
