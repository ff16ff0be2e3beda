"""Connections between the hosts of one job: values exchanged among all, and the end of one noticed by all others.

A star: every host is connected with the first. A parameter server alone would let the others wait for a dead host
without end, in a call that no signal interrupts; here a thread listens. Messages are pickled, so they are for the
network of one job, as MXNet's own are.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from common.contract import ContainerError

# SageMaker starts the hosts of a job together, but one may still be loading its image.
COME_SECONDS = 900.0
RETRY_SECONDS = 0.1
BEAT_SECONDS = 2.0
# A host that swaps is not dead yet.
SILENCE_SECONDS = 60.0
ALIVE, VALUE, FAILED, DONE = "alive", "value", "failed", "done"


class Peer(NamedTuple):
    """The host at the other end of a connection."""

    name: str
    connection: Connection


def accept(address: tuple[str, int], job: str, others: Sequence[str], *, seconds: float = COME_SECONDS) -> list[Peer]:
    """Be the first host: wait for each of the others; ContainerError where one has not come after `seconds`."""
    deadline = time.monotonic() + seconds
    peers: dict[str, Peer] = {}
    with _server(address, len(others)) as server:
        while len(peers) < len(others):
            server.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                accepted, _ = server.accept()
            except (TimeoutError, BlockingIOError):
                missing = ", ".join(name for name in others if name not in peers)
                raise ContainerError(f"host {missing} has not come within {seconds:g} s; see its log") from None
            accepted.setblocking(True)
            connection = Connection(accepted.detach())
            name, of_job = connection.recv()
            if of_job != job or name not in others:
                raise ContainerError(
                    f"host {name} of job {of_job} came to job {job} at port {address[1]}; give the jobs on one machine "
                    "different values of TRAINING_JOB_NAME"
                )
            peers[name] = Peer(name, connection)
    return [peers[name] for name in others]


def _server(address: tuple[str, int], others: int) -> socket.socket:
    try:
        return socket.create_server(address, backlog=others)
    except OSError as error:
        raise ContainerError(
            f"port {address[1]} cannot be used: {error.strerror}; a job of another name on this machine may have it, "
            "give this one another TRAINING_JOB_NAME"
        ) from None


def connect(address: tuple[str, int], job: str, name: str, first: str, *, seconds: float = COME_SECONDS) -> list[Peer]:
    """Be another host: connect with the first; ContainerError where it does not answer for `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connected = socket.create_connection(address, timeout=max(1.0, deadline - time.monotonic()))
        except OSError as error:
            if time.monotonic() > deadline:
                raise ContainerError(f"host {first} does not answer at port {address[1]}: {error}") from None
            time.sleep(RETRY_SECONDS)
            continue
        connected.setblocking(True)
        connection = Connection(connected.detach())
        connection.send((name, job))
        return [Peer(first, connection)]


class Lifeline:
    """One host's connections, watched by a thread each."""

    def __init__(self, peers: Sequence[Peer], *, is_first: bool, lost: Callable[[str], None]) -> None:
        """`lost` is called once, in a thread, with a one-line reason, when a peer fails, falls silent or is gone."""
        self._peers = peers
        self._is_first = is_first
        self._lost = lost
        self._values: dict[str, queue.SimpleQueue[Any]] = {peer.name: queue.SimpleQueue() for peer in peers}
        self._done = {peer.name: threading.Event() for peer in peers}
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._over = threading.Event()
        for peer in peers:
            threading.Thread(target=self._listen, args=(peer,), name=f"listen-{peer.name}", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def gather(self, value: object) -> list[Any]:
        """Return the values of all hosts, the first host's first; all hosts must call it equally often."""
        if not self._is_first:
            self._send(VALUE, value)
            values: list[Any] = self._values[self._peers[0].name].get()
            return values
        values = [value, *(self._values[peer.name].get() for peer in self._peers)]
        self._send(VALUE, values)
        return values

    def finish(self) -> None:
        """Say that this host has ended well, and wait for the others to say so."""
        self._send(DONE, None)
        for done in self._done.values():
            done.wait()
        self._over.set()

    def fail(self, reason: str) -> None:
        """Say why this host ends; what the others do then is no news any more."""
        self._over.set()
        self._send(FAILED, reason)

    def _send(self, kind: str, content: object) -> None:
        with self._sending:
            for peer in self._peers:
                try:
                    peer.connection.send((kind, content))
                except OSError:
                    continue  # the thread that listens to this peer finds it gone too, and says so

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._send(ALIVE, None)

    def _listen(self, peer: Peer) -> None:
        try:
            while peer.connection.poll(SILENCE_SECONDS):
                kind, content = peer.connection.recv()
                if kind == DONE:
                    self._done[peer.name].set()
                    return
                if kind == FAILED:
                    self._end(content)
                    return
                if kind == VALUE:
                    self._values[peer.name].put(content)
            self._end(f"host {peer.name} has been silent for {SILENCE_SECONDS:g} s")
        except (EOFError, OSError):
            self._end(f"host {peer.name} is gone; its log may say why")

    def _end(self, reason: str) -> None:
        with self._ending:
            if self._over.is_set():
                return
            self._over.set()
        self._send(FAILED, reason)
        self._lost(reason)
