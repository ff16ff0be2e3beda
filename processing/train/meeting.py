"""How the hosts of one job find one another: every other host connects with the first, and both say who they are."""

import json
import socket
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from common.contract import ContainerError

# SageMaker starts the hosts of a job together, but one may still be loading its image.
COME_SECONDS = 900.0
# Who has connected says at once who it is.
HELLO_SECONDS = 5.0
RETRY_SECONDS = 0.1
HELLO_BYTES = 4096


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
        of_job, name = receive_hello(connected)
        send_hello(connected, job, first)
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
    send_hello(connected, job, name)
    of_job, _ = receive_hello(connected)
    if of_job != job:
        raise ContainerError(
            f"port {address[1]} of host {first} is in use by job {of_job}, not by job {job}; give the jobs on one "
            "machine different values of TRAINING_JOB_NAME"
        )
    return _peer(first, connected)


def send_hello(connected: socket.socket, job: str, host: str) -> None:
    """Say who this is, as a line of JSON."""
    connected.sendall(json.dumps({"job": job, "host": host}).encode() + b"\n")


def receive_hello(connected: socket.socket) -> tuple[str, str]:
    """(job, host) of who is at the other end; ValueError where it says something else, OSError where nothing."""
    # Unbuffered, so that nothing behind the line is read.
    with connected.makefile("rb", buffering=0) as file:
        line = file.readline(HELLO_BYTES)
    try:
        content = json.loads(line)
        return str(content["job"]), str(content["host"])
    except (ValueError, LookupError, TypeError):
        raise ValueError("no greeting of a host") from None
