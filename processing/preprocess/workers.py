"""Work on many items in forked processes, which outlive neither a crash of one of them nor the process that forked.

Processes and not threads: packing files as they are is many short system calls, between which threads would wait for
the interpreter lock, and a native crash of a decoder ends one worker instead of everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Generic, NoReturn, TypeVar

from common.contract import ContainerError

T = TypeVar("T")
Span = tuple[int, int]
Work = Callable[[int, int], list[T]]
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Python acts on a signal between two steps of its own, so one that comes just before a wait is seen after it.
POLL_MILLISECONDS = 500


class _WorkerDied(Exception):
    """No answer came, or half of one."""


class WorkerFailure(Exception):
    """The cause of an error that a worker sent: its traceback as text."""


@dataclass
class _Worker:
    pid: int
    requests: IO[bytes]
    answers: IO[bytes]
    span: Span | None = None

    def give(self, span: Span | None) -> None:
        self.span = span
        with contextlib.suppress(BrokenPipeError):  # it has died meanwhile; the end of its answers says so
            pickle.dump(span, self.requests)
            self.requests.flush()


def in_workers(
    begin: Callable[[int], Work[T]], total: int, *, workers: int, chunk: int, crashed: Callable[[int, str], T]
) -> list[T]:
    """Return the results for the items 0..total-1 in their order.

    ``begin(number)`` is called once in each worker and returns what works on a span ``(start, stop)`` of at most
    ``chunk`` items. An exception in a worker is raised here. When a worker dies, the items of its span are tried again
    one by one, and an item that ends a worker by itself gets ``crashed(item, name of the signal)`` as its result. An
    item of a worker that was killed gets another try when all others are done, for memory may have been what lacked.
    """
    with _Crew(begin, workers=max(1, min(workers, -(-total // chunk)))) as crew:
        return crew.work(total, chunk, crashed)


class _Crew(Generic[T]):
    def __init__(self, begin: Callable[[int], Work[T]], *, workers: int) -> None:
        self._begin = begin
        self._count = workers
        self._started = 0
        self._workers: dict[int, _Worker] = {}

    def __enter__(self) -> _Crew[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _signals_held():
            for worker in self._workers.values():
                if error is not None:
                    os.kill(worker.pid, signal.SIGKILL)
                self._close(worker)
            for worker in self._workers.values():
                os.waitpid(worker.pid, 0)
            self._workers.clear()

    def work(self, total: int, chunk: int, crashed: Callable[[int, str], T]) -> list[T]:
        results: dict[int, list[T]] = {}
        pending = deque((start, min(start + chunk, total)) for start in range(0, total, chunk))
        poll = select.poll()
        for _ in range(min(self._count, len(pending))):
            self._start(poll).give(pending.popleft())
        killed: deque[Span] = deque()
        while any(worker.span for worker in self._workers.values()):
            for descriptor, _ in poll.poll(POLL_MILLISECONDS):
                worker = self._workers[descriptor]
                start, stop = worker.span or (0, 0)
                try:
                    results[start] = self._receive(worker)
                except _WorkerDied:
                    poll.unregister(descriptor)
                    name = self._bury(descriptor)
                    if stop - start > 1:
                        pending.extendleft((item, item + 1) for item in reversed(range(start, stop)))
                    elif name == "SIGKILL":
                        killed.append((start, stop))
                    else:
                        results[start] = [crashed(start, name)]
                    worker = self._start(poll)
                if pending:
                    worker.give(pending.popleft())
                else:
                    worker.span = None
        for start, stop in killed:
            results[start] = self._alone(start, stop, crashed)
        return [result for start in sorted(results) for result in results[start]]

    def _alone(self, start: int, stop: int, crashed: Callable[[int, str], T]) -> list[T]:
        """Return the result of one item, tried in one worker while the others have nothing to do."""
        descriptor, worker = next(iter(self._workers.items()))
        worker.give((start, stop))
        try:
            return self._receive(worker)
        except _WorkerDied:
            name = self._bury(descriptor)
            if not self._workers:
                self._start(select.poll())
            return [crashed(start, name)]

    def _receive(self, worker: _Worker) -> list[T]:
        try:
            fine, answer, trace = pickle.load(worker.answers)  # from our own child
        except (EOFError, pickle.UnpicklingError, OSError) as error:
            raise _WorkerDied from error
        if fine:
            return answer  # type: ignore[no-any-return]
        raise answer from WorkerFailure(f"in a worker:\n{trace}")

    def _start(self, poll: select.poll) -> _Worker:
        with _signals_held():  # else one might come when there is a worker already that is not known yet
            pipes: list[int] = []
            parent = os.getpid()
            try:
                pipes += os.pipe()
                pipes += os.pipe()
                pid = os.fork()
            except OSError as error:
                for descriptor in pipes:
                    os.close(descriptor)
                raise ContainerError(
                    f"worker number {self._started + 1} cannot be started: {error.strerror}; use fewer workers"
                ) from None
            if pid == 0:
                self._be_worker(parent, *pipes)
            self._started += 1
            request_read, request_write, answer_read, answer_write = pipes
            os.close(request_read)
            os.close(answer_write)
            worker = _Worker(pid=pid, requests=os.fdopen(request_write, "wb"), answers=os.fdopen(answer_read, "rb"))
            self._workers[answer_read] = worker
            poll.register(answer_read, select.POLLIN | select.POLLHUP)
            return worker

    def _be_worker(
        self, parent: int, request_read: int, request_write: int, answer_read: int, answer_write: int
    ) -> NoReturn:
        """Serve, in the new process, which never returns into what the process that forked it was doing."""
        try:
            _end_with(parent)
            # A copy of another worker's pipe would keep it from hearing that that process has gone.
            for other in self._workers.values():
                os.close(other.requests.fileno())
                os.close(other.answers.fileno())
            os.close(request_write)
            os.close(answer_read)
            _serve(self._begin, self._started, os.fdopen(request_read, "rb"), os.fdopen(answer_write, "wb"))
        finally:
            # Also at the end of requests, which is how a worker hears that there is nothing left to do.
            os._exit(0)

    def _bury(self, descriptor: int) -> str:
        """Forget a dead worker; return the name of the signal that ended it, or its exit status."""
        worker = self._workers.pop(descriptor)
        self._close(worker)
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    @staticmethod
    def _close(worker: _Worker) -> None:
        for file in (worker.requests, worker.answers):
            with contextlib.suppress(BrokenPipeError):  # it died before it read its last request
                file.close()


def _serve(begin: Callable[[int], Work[T]], number: int, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are none; the signals that stop a job go to the process that forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number_of_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_of_signal, signal.SIG_DFL)
    work: Work[T] | None = None
    while (span := pickle.load(requests)) is not None:  # from the process that forked us
        answer: tuple[bool, object, str]
        try:
            work = work or begin(number)
            answer = (True, work(*span), "")
        except Exception as error:
            answer = (False, _sendable(error), traceback.format_exc())
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _end_with(parent: int) -> None:
    """Have the system end this process with the one that forked it, even in the middle of an image that takes long.

    Otherwise it would keep what it has inherited, the lock of the outputs for one.
    """
    with contextlib.suppress(AttributeError):  # only Linux has it; elsewhere the end of the requests has to do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let the signals that stop a job wait until the block ends.

    Not by a mask: another thread of this process would take them, and the main thread act on them all the same.
    """
    came: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_raise_all, came)
        for number in STOPPING if threading.current_thread() is threading.main_thread() else ():
            handler = signal.getsignal(number)
            if handler is not None:  # else it is none of Python's, which could not be put back
                stack.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, _: came.append(number))
        yield


def _raise_all(numbers: list[int]) -> None:
    for number in numbers:
        signal.raise_signal(number)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an exception's own pickling raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
