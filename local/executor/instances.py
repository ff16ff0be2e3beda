"""The instances of a job: where each has its files, and the running of them side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.executor.tools import StepFailed

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One of a job's `count` instances, numbered from 0; `root` is what its container sees as /opt/ml."""

    number: int
    count: int
    root: Path
    log: Path

    @property
    def host(self) -> str:
        """Its name among the hosts of the job."""
        return _host(self.number)

    @property
    def hosts(self) -> list[str]:
        """The names of all; in order of the alphabet, as the service sorts those of a training job."""
        return sorted(_host(number) for number in range(self.count))

    def named(self, text: str) -> str:
        """`text` with the host after it, where there are several."""
        return text if self.count == 1 else f"{text}-{self.host}"


def instances_of(count: int, *, directory: Path, log: Path) -> list[Instance]:
    """The instances of a job; several have a directory and a log each below those of the job."""
    if count == 1:
        return [Instance(number=0, count=1, root=directory, log=log)]
    return [
        Instance(
            number=number,
            count=count,
            root=directory / _host(number),
            log=log.with_suffix("") / f"{_host(number)}{log.suffix}",
        )
        for number in range(count)
    ]


@contextmanager
def listener(
    instances: Sequence[Instance], *, log: Path, on_line: Callable[[str], None]
) -> Iterator[Callable[[Instance, str], None]]:
    """Takes the lines of all instances; of several the job's log has them as they come, each after its host."""
    if len(instances) == 1:
        yield lambda instance, line: on_line(line)
        return
    lock = threading.Lock()
    with log.open("a", encoding="utf-8") as together:

        def hear(instance: Instance, line: str) -> None:
            with lock:
                together.write(f"{instance.host}: {line}\n")
                together.flush()
                on_line(f"{instance.host}: {line}")

        yield hear


def run_side_by_side(
    instances: Sequence[Instance],
    run: Callable[[Instance, threading.Event], None],
    *,
    stop: threading.Event,
    at_once: int | None = None,
) -> None:
    """Calls `run` for each instance, `at_once` at a time, by default as many as there are cores.

    Instances that wait for each other must all run at once.

    The event that `run` gets tells it to end early: `stop` was set, or an instance failed. The first failure is raised
    once all have ended, and what had not begun by then never does.
    """
    halt = threading.Event()
    failures: list[BaseException] = []

    def begin(instance: Instance) -> bool:
        if halt.is_set():
            return False
        try:
            run(instance, halt)
        except BaseException as error:
            failures.append(error)  # before the others are told to end, which may make them fail as well
            halt.set()
        return True

    with ThreadPoolExecutor(at_once or min(len(instances), available_cores()), thread_name_prefix="instance") as pool:
        begun = [pool.submit(begin, instance) for instance in instances]
        while wait(begun, timeout=_POLL_SECONDS).not_done:
            if stop.is_set():
                halt.set()
    if failures:
        raise failures[0]
    if not all(future.result() for future in begun):
        raise StepFailed("stopped before every instance had begun")


def available_cores() -> int:
    """The cores that this process may use; not every system can say, then all of the machine's."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _host(number: int) -> str:
    return f"algo-{number + 1}"
