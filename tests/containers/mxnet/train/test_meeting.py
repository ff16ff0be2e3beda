"""Hosts find one another, whoever else calls."""

import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from common.contract import ContainerError
from train import meeting

HERE = "127.0.0.1"


def free_address() -> tuple[str, int]:
    with socket.create_server((HERE, 0)) as server:
        return server.getsockname()


def test_a_host_that_does_not_come_is_named() -> None:
    with pytest.raises(ContainerError, match=r"host b, c has not come within 0\.1 s; see its log$"):
        meeting.accept(free_address(), "job", "a", {"b": HERE, "c": HERE}, seconds=0.1)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((HERE, 0)) as other, pytest.raises(ContainerError, match="cannot be used: Addr"):
        meeting.accept(other.getsockname(), "job", "a", {"b": HERE})


def test_a_first_host_that_does_not_answer_is_named() -> None:
    with pytest.raises(ContainerError, match="host a does not answer at port"):
        meeting.connect(free_address(), "job", "b", "a", source=HERE, seconds=0.1)


def test_a_service_that_is_no_first_host_is_named() -> None:
    with socket.create_server((HERE, 0)) as service, ThreadPoolExecutor(1) as pool:
        came = pool.submit(meeting.connect, service.getsockname(), "job", "b", "a", source=HERE, seconds=0.0)
        with service.accept()[0] as connected:
            connected.sendall(b"220 mail.example.com ESMTP\r\n")
            with pytest.raises(ContainerError, match=r"host a does not answer at port .*: no greeting of a host"):
                came.result()


def test_both_sides_name_a_host_of_another_job() -> None:
    address = free_address()
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(meeting.connect, address, "other", "b", "a", source=HERE)
        with pytest.raises(
            ContainerError, match=r"host b has not come .*; turned away: 127.0.0.1, host b of job other"
        ):
            meeting.accept(address, "mine", "a", {"b": HERE}, seconds=1.0)
        with pytest.raises(ContainerError, match="of host a is in use by job mine, not by job other; give the jobs on"):
            came.result()


def silent(connected: socket.socket) -> None:
    """As a port scanner may be."""


def half_a_line(connected: socket.socket) -> None:
    connected.sendall(b'{"job": ')


def web_browser(connected: socket.socket) -> None:
    connected.sendall(b"GET / HTTP/1.0\r\n\r\n")


def closed(connected: socket.socket) -> None:
    connected.close()


def unknown_host(connected: socket.socket) -> None:
    connected.sendall(b'{"job": "job", "host": "c"}\n')


@pytest.mark.parametrize(
    ("stray", "source"),
    [(silent, HERE), (half_a_line, HERE), (web_browser, HERE), (closed, HERE), (unknown_host, HERE),
     (silent, "127.0.0.3")],
)  # fmt: skip
def test_strangers_are_turned_away_and_the_job_starts(
    monkeypatch: pytest.MonkeyPatch, stray: Callable[[socket.socket], None], source: str
) -> None:
    monkeypatch.setattr(meeting, "HELLO_SECONDS", 0.2)
    address = free_address()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(meeting.accept, address, "job", "a", {"b": HERE}, seconds=30.0)
        with stranger(address, source) as connected:
            stray(connected)
            peers = meeting.connect(address, "job", "b", "a", source=HERE, seconds=30.0)
            assert [peer.name for peer in (*accepted.result(), *peers)] == ["b", "a"]


@contextmanager
def stranger(address: tuple[str, int], source: str) -> Iterator[socket.socket]:
    """Connected as soon as the port is open."""
    while True:
        try:
            connected = socket.create_connection(address, source_address=(source, 0))
        except ConnectionRefusedError:
            continue
        with connected:
            yield connected
        return


def test_a_host_at_another_address_is_no_host() -> None:
    address = free_address()
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(meeting.connect, address, "job", "b", "a", source="127.0.0.3", seconds=0.5)
        with pytest.raises(ContainerError, match=r"turned away: 127\.0\.0\.3, no address of this job"):
            meeting.accept(address, "job", "a", {"b": HERE}, seconds=0.5)
        with pytest.raises(ContainerError, match="host a does not answer"):
            came.result()


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.0\r\n",
        b"[]\n",
        b'{"job": "a"}\n',
        b"\xff\n",
        b"{" * 5000,
        b"7\n",
        pickle.dumps(("b", "job")) + b"\n",
    ],
)
def test_another_greeting_is_refused(line: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(line)
        with pytest.raises(ValueError, match="no greeting of a host"):
            meeting.receive_hello(ours)
