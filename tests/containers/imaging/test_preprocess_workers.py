"""Worker processes: results in order, errors with their cause, a crash costs one item, and nobody is left behind."""

import contextlib
import errno
import faulthandler
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from common.contract import ContainerError
from preprocess.workers import WorkerFailure, in_workers

Begin = Callable[[int], Callable[[int, int], list[object]]]


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """After every test: no more child processes, zombies included, and no more open files than before.

    Not none at all: another test may have left one that it had to kill.
    """
    children = psutil.Process().children()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    yield
    assert [child for child in psutil.Process().children() if child not in children] == []
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def run(item: Callable[[int], object], total: int, *, workers: int = 3, chunk: int = 4) -> list[object]:
    """Work on each item by itself; what ends a worker shows as (position, how)."""

    def begin(number: int) -> Callable[[int, int], list[object]]:
        return lambda start, stop: [item(position) for position in range(start, stop)]

    return in_workers(begin, total, workers=workers, chunk=chunk, crashed=lambda position, how: (position, how))


@pytest.mark.parametrize("total", [0, 1, 3, 4, 5, 17, 100])
@pytest.mark.parametrize("workers", [0, 1, 2, 5, 200])
def test_results_are_in_the_order_of_the_items(total: int, workers: int) -> None:
    assert run(lambda item: item * item, total, workers=workers) == [item * item for item in range(total)]


def test_a_slow_first_item_does_not_change_the_order() -> None:
    def slow_first(item: int) -> int:
        if item == 0:
            time.sleep(0.05)
        return item

    assert run(slow_first, 20, workers=2, chunk=1) == list(range(20))


def test_work_is_spread_and_begun_once_in_each_worker(tmp_path: Path) -> None:
    def begin(number: int) -> Callable[[int, int], list[object]]:
        (tmp_path / f"{number}").open("x").close()

        def work(start: int, stop: int) -> list[object]:
            time.sleep(0.01)
            return [(number, os.getpid())] * (stop - start)

        return work

    found = in_workers(begin, 40, workers=3, chunk=2, crashed=lambda item, how: None)
    assert {number for number, _ in found} == {0, 1, 2}  # type: ignore[misc]
    assert len(set(found)) == 3
    assert os.getpid() not in {pid for _, pid in found}  # type: ignore[misc]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_no_more_workers_than_spans() -> None:
    begun = in_workers(
        lambda number: lambda start, stop: [number] * (stop - start),
        5,
        workers=64,
        chunk=4,
        crashed=lambda item, how: -1,
    )
    assert set(begun) <= {0, 1}


def test_large_answers() -> None:
    assert [len(answer) for answer in run(lambda item: b"x" * 3_000_000, 8)] == [3_000_000] * 8  # type: ignore[arg-type]


def fail_at(position: int, error: BaseException) -> Callable[[int], int]:
    def item(number: int) -> int:
        if number == position:
            raise error
        return number

    return item


def test_an_exception_is_raised_here_with_the_workers_traceback_as_its_cause() -> None:
    with pytest.raises(KeyError, match="what") as caught:
        run(fail_at(13, KeyError("what")), 40)
    cause = caught.value.__cause__
    assert isinstance(cause, WorkerFailure)
    assert "in a worker:\nTraceback (most recent call last)" in str(cause)
    assert "raise error" in str(cause)
    assert "test_preprocess_workers.py" in str(cause)


def test_the_attributes_of_an_exception_survive() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        run(fail_at(2, OSError(28, "No space left on device", "/x/y")), 4)
    assert (caught.value.errno, caught.value.filename) == (28, "/x/y")


class _NotSendable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def test_an_exception_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(RuntimeError, match="_NotSendable: this and that") as caught:
        run(fail_at(0, _NotSendable("this", "that")), 4)
    assert "_NotSendable" in str(caught.value.__cause__)


def test_an_exception_while_beginning_is_raised() -> None:
    def begin(number: int) -> Callable[[int, int], list[object]]:
        raise PermissionError(13, "Permission denied", "payloads-0.bin")

    with pytest.raises(PermissionError, match=r"payloads-0\.bin"):
        in_workers(begin, 9, workers=2, chunk=1, crashed=lambda item, how: None)


def test_after_an_exception_the_others_are_not_waited_for() -> None:
    def item(number: int) -> None:
        if number == 0:
            raise ValueError("stop")
        time.sleep(30)

    started = time.monotonic()
    with pytest.raises(ValueError, match="stop"):
        run(item, 4, workers=4, chunk=1)
    assert time.monotonic() - started < 10


def die_at(positions: set[int], how: Callable[[], object]) -> Callable[[int], int]:
    def item(number: int) -> int:
        if number in positions:
            how()
        return number

    return item


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_an_item_that_crashes_its_worker_costs_only_itself(name: str, workers: int) -> None:
    def die() -> None:
        faulthandler.disable()  # pytest has it print the stack
        os.kill(os.getpid(), signal.Signals[name])

    found = run(die_at({0, 5, 6, 19}, die), 20, workers=workers)
    assert found == [(item, name) if item in {0, 5, 6, 19} else item for item in range(20)]


@pytest.mark.parametrize(
    ("how", "shown"),
    [(lambda: os._exit(3), "exit status 3"), (lambda: os._exit(0), "exit status 0"), (sys.exit, "exit status 0")],
)
def test_a_worker_that_ends_without_a_signal(how: Callable[[], object], shown: str) -> None:
    found = run(die_at({7}, how), 20)
    assert found == [(7, shown) if item == 7 else item for item in range(20)]


def test_every_item_crashes() -> None:
    found = run(die_at(set(range(9)), lambda: os._exit(1)), 9, workers=4)
    assert found == [(item, "exit status 1") for item in range(9)]


def test_a_worker_that_dies_while_it_begins() -> None:
    def begin(number: int) -> Callable[[int, int], list[object]]:
        os._exit(9)

    found = in_workers(begin, 5, workers=2, chunk=2, crashed=lambda item, how: f"{item}: {how}")
    assert found == [f"{item}: exit status 9" for item in range(5)]


def test_a_worker_that_dies_in_the_middle_of_its_answer() -> None:
    class Deadly:
        def __reduce__(self) -> object:
            os._exit(5)

    found = run(lambda item: [b"x" * 200_000, Deadly()] if item == 2 else item, 8)
    assert found == [(2, "exit status 5") if item == 2 else item for item in range(8)]


def test_a_crash_once_is_no_crash(tmp_path: Path) -> None:
    """What was killed for its memory, say, may well work alone."""

    def item(number: int) -> int:
        if number == 6 and not (tmp_path / "crashed").exists():
            (tmp_path / "crashed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert run(item, 12) == list(range(12))


def test_an_interrupt_here_ends_the_workers() -> None:
    def item(number: int) -> None:
        if number == 1:
            os.kill(os.getppid(), signal.SIGINT)
        time.sleep(30)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(item, 4, workers=2, chunk=1)
    assert time.monotonic() - started < 10


def test_an_interrupt_while_a_worker_starts_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, forked = os.fork, []

    def interrupted_fork() -> int:
        pid = fork()
        if pid:
            forked.append(pid)
            os.kill(os.getpid(), signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", interrupted_fork)
    with pytest.raises(KeyboardInterrupt):
        run(lambda item: item, 20)
    left = []
    for pid in forked:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            left.append(pid)
    assert left == []


@pytest.mark.parametrize("name", ["fork", "pipe"])
def test_more_workers_than_the_system_allows_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    original, calls = getattr(os, name), []

    def limited() -> object:
        calls.append(name)
        if len(calls) > 3:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return original()

    monkeypatch.setattr(os, name, limited)
    with pytest.raises(ContainerError, match=r"worker number \d cannot be started: .*use fewer workers"):
        run(lambda item: item, 40, workers=8)


ORPHANS = """
import os, signal, sys, time
from preprocess.workers import in_workers

def begin(number):
    os.write(1, b"%d " % os.getpid())  # in one piece, whoever else writes
    def work(start, stop):
        if start == 5:
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.02)
        return [0] * (stop - start)
    return work

in_workers(begin, 1000, workers=3, chunk=1, crashed=lambda item, how: 0)
"""


def test_workers_end_when_the_process_that_forked_them_is_killed() -> None:
    # The end of the output is seen once everybody who holds it has ended.
    done = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == -signal.SIGKILL
    pids = [int(word) for word in done.stdout.split()]
    assert pids
    assert all(has_ended(pid) for pid in pids)


def has_ended(pid: int) -> bool:
    """Tell whether a process ends within seconds: one that has closed its output may still be about to."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)
