"""Connections between the hosts of one job: values exchanged among all, and the end of one noticed by all others.

A star: every host is connected with the first. A parameter server alone would let the others wait for a dead host
without end, in a call that no signal interrupts; here a thread listens.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from common.contract import ContainerError
from train import messages

# SageMaker starts the hosts of a job together, but one may still be loading its image.
COME_SECONDS = 900.0
# Who has connected says at once who it is.
HELLO_SECONDS = 5.0
RETRY_SECONDS = 0.1
BEAT_SECONDS = 2.0
# A host that swaps is not dead yet.
SILENCE_SECONDS = 60.0
# How long the end waits for its reason to be sent to hosts that may not read any more.
LAST_WORDS_SECONDS = 5.0
ALIVE, VALUE, FAILED, DONE = "alive", "value", "failed", "done"


class Peer(NamedTuple):
    """The host at the other end of a connection."""

    name: str
    connection: Connection


class _StrangerError(Exception):
    """Who has connected is no host that is waited for."""


def accept(
    address: tuple[str, int], job: str, first: str, others: Mapping[str, str], *, seconds: float = COME_SECONDS
) -> list[Peer]:
    """Be the first host: wait for each of the others, given as name and IP address.

    Whoever else connects is turned away. ContainerError, which names those too, where a host has not come after
    `seconds`.
    """
    deadline = time.monotonic() + seconds
    peers: dict[str, Peer] = {}
    strangers: set[str] = set()
    with _server(address, len(others)) as server:
        while len(peers) < len(others):
            server.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                connected, (source, _) = server.accept()
            except (TimeoutError, BlockingIOError):
                raise ContainerError(
                    _missing([name for name in others if name not in peers], seconds, strangers)
                ) from None
            try:
                peer = _welcome(connected, source, job, first, others)
            except _StrangerError as stranger:
                connected.close()
                strangers.add(str(stranger))
                continue
            if peer.name in peers:
                peers[peer.name].connection.close()  # it has given that one up
            peers[peer.name] = peer
    return [peers[name] for name in others]


def _welcome(connected: socket.socket, source: str, job: str, first: str, others: Mapping[str, str]) -> Peer:
    if source not in others.values():
        raise _StrangerError(f"{source}, no address of this job")
    connected.settimeout(HELLO_SECONDS)
    try:
        of_job, name = messages.receive_hello(connected)
        messages.send_hello(connected, job, first)
    except (OSError, ValueError) as error:
        raise _StrangerError(f"{source}, {error}") from None
    if of_job != job or others.get(name) != source:
        raise _StrangerError(f"{source}, host {name} of job {of_job}")
    return _peer(name, connected)


def _peer(name: str, connected: socket.socket) -> Peer:
    connected.settimeout(None)
    return Peer(name, Connection(connected.detach()))


def _missing(names: Sequence[str], seconds: float, strangers: set[str]) -> str:
    text = f"host {', '.join(names)} has not come within {seconds:g} s; see its log"
    return f"{text}; turned away: {'; '.join(sorted(strangers))}" if strangers else text


def _server(address: tuple[str, int], others: int) -> socket.socket:
    try:
        return socket.create_server(address, backlog=others)
    except OSError as error:
        raise ContainerError(
            f"port {address[1]} cannot be used: {error.strerror}; a job of another name on this machine may have it, "
            "give this one another TRAINING_JOB_NAME"
        ) from None


def connect(
    address: tuple[str, int], job: str, name: str, first: str, *, source: str, seconds: float = COME_SECONDS
) -> list[Peer]:
    """Be another host: connect from the IP address `source` with the first.

    ContainerError where it does not answer for `seconds`, or answers for another job.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connected = socket.create_connection(
                address, timeout=max(1.0, deadline - time.monotonic()), source_address=(source, 0)
            )
            with connected:
                return [_greet(connected, address, job, name, first)]
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise ContainerError(f"host {first} does not answer at port {address[1]}: {error}") from None
            time.sleep(RETRY_SECONDS)


def _greet(connected: socket.socket, address: tuple[str, int], job: str, name: str, first: str) -> Peer:
    messages.send_hello(connected, job, name)
    of_job, _ = messages.receive_hello(connected)
    if of_job != job:
        raise ContainerError(
            f"port {address[1]} of host {first} is in use by job {of_job}, not by job {job}; give the jobs on one "
            "machine different values of TRAINING_JOB_NAME"
        )
    return _peer(first, connected)


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
        """Return the values of all hosts, the first host's first; all hosts must call it equally often.

        Values are what `messages.encode` takes.
        """
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
        self._send_last(reason)

    def end(self, reason: str) -> None:
        """End the job on all hosts, this one by `lost`; nothing where it has ended already."""
        with self._ending:
            if self._over.is_set():
                return
            self._over.set()
        self._send_last(reason)
        self._lost(reason)

    def _send(self, kind: str, content: object) -> None:
        message = messages.encode([kind, content])
        with self._sending:
            for peer in self._peers:
                try:
                    peer.connection.send_bytes(message)
                except OSError:
                    continue  # the thread that listens to this peer finds it gone too, and says so

    def _send_last(self, reason: str) -> None:
        """Send why it is over, without waiting for long for a host that is alive but does not read."""
        sender = threading.Thread(target=self._send, args=(FAILED, reason), name="last words", daemon=True)
        sender.start()
        sender.join(LAST_WORDS_SECONDS)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._send(ALIVE, None)

    def _listen(self, peer: Peer) -> None:
        try:
            reason = self._heard(peer)
        except (EOFError, OSError):
            reason = f"host {peer.name} is gone; its log may say why"
        except Exception as error:  # a thread that ended silently would let the job wait for ever
            reason = f"host {peer.name} sent what cannot be read: {type(error).__name__}: {error}"
        if reason is not None:
            self.end(" ".join(reason.split()))

    def _heard(self, peer: Peer) -> str | None:
        """Listen until the peer is done (None), or there is a reason to end."""
        while peer.connection.poll(SILENCE_SECONDS):
            kind, content = messages.decode(peer.connection.recv_bytes())
            if kind == DONE:
                self._done[peer.name].set()
                return None
            if kind == FAILED:
                return str(content)
            if kind == VALUE:
                self._values[peer.name].put(content)
        return f"host {peer.name} has been silent for {SILENCE_SECONDS:g} s"
