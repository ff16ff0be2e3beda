"""Hosts find one another whoever else calls, and every way in which one can end is noticed."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np
import pytest

from common.contract import ContainerError
from train import lifeline
from train.lifeline import Lifeline, Peer

HERE = "127.0.0.1"


def free_address() -> tuple[str, int]:
    with socket.create_server((HERE, 0)) as server:
        return server.getsockname()


def test_a_host_that_does_not_come_is_named() -> None:
    with pytest.raises(ContainerError, match=r"host b, c has not come within 0\.1 s; see its log$"):
        lifeline.accept(free_address(), "job", "a", {"b": HERE, "c": HERE}, seconds=0.1)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((HERE, 0)) as other, pytest.raises(ContainerError, match="cannot be used: Addr"):
        lifeline.accept(other.getsockname(), "job", "a", {"b": HERE})


def test_a_first_host_that_does_not_answer_is_named() -> None:
    with pytest.raises(ContainerError, match="host a does not answer at port"):
        lifeline.connect(free_address(), "job", "b", "a", source=HERE, seconds=0.1)


def test_a_service_that_is_no_first_host_is_named() -> None:
    with socket.create_server((HERE, 0)) as service, ThreadPoolExecutor(1) as pool:
        came = pool.submit(lifeline.connect, service.getsockname(), "job", "b", "a", source=HERE, seconds=0.0)
        with service.accept()[0] as connected:
            connected.sendall(b"220 mail.example.com ESMTP\r\n")
            with pytest.raises(ContainerError, match=r"host a does not answer at port .*: no greeting of a host"):
                came.result()


def test_both_sides_name_a_host_of_another_job() -> None:
    address = free_address()
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(lifeline.connect, address, "other", "b", "a", source=HERE)
        with pytest.raises(
            ContainerError, match=r"host b has not come .*; turned away: 127.0.0.1, host b of job other"
        ):
            lifeline.accept(address, "mine", "a", {"b": HERE}, seconds=1.0)
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
    monkeypatch.setattr(lifeline, "HELLO_SECONDS", 0.2)
    address = free_address()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(lifeline.accept, address, "job", "a", {"b": HERE}, seconds=30.0)
        with stranger(address, source) as connected:
            stray(connected)
            peers = lifeline.connect(address, "job", "b", "a", source=HERE, seconds=30.0)
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
        came = pool.submit(lifeline.connect, address, "job", "b", "a", source="127.0.0.3", seconds=0.5)
        with pytest.raises(ContainerError, match=r"turned away: 127\.0\.0\.3, no address of this job"):
            lifeline.accept(address, "job", "a", {"b": HERE}, seconds=0.5)
        with pytest.raises(ContainerError, match="host a does not answer"):
            came.result()


def watched(connection: socket.socket) -> tuple[Lifeline, Callable[[], str]]:
    """A first host's lifeline over one end of a pair, and what waits for its reason to end."""
    reasons: list[str] = []
    noticed = threading.Event()

    def reason() -> str:
        assert noticed.wait(20)
        assert len(reasons) == 1
        return reasons[0]

    def lost(text: str) -> None:
        reasons.append(text)
        noticed.set()

    return Lifeline([Peer("b", Connection(connection.detach()))], is_first=True, lost=lost), reason


def test_arrays_reach_every_host() -> None:
    ours, theirs = socket.socketpair()
    first, _ = watched(ours)
    other = Lifeline([Peer("a", Connection(theirs.detach()))], is_first=False, lost=print)
    with ThreadPoolExecutor(1) as pool:
        gathered = pool.submit(other.gather, None)
        first.gather({"mean": np.ones(3)})
        np.testing.assert_array_equal(gathered.result()[0]["mean"], np.ones(3))
        pool.submit(other.finish)
        first.finish()


def test_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "SILENCE_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    with theirs:
        assert watched(ours)[1]() == "host b has been silent for 0.1 s"


def test_a_host_that_reads_nothing_cannot_block_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(lifeline, "LAST_WORDS_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    with theirs:
        line, reason = watched(ours)
        threading.Thread(target=line._send, args=(lifeline.VALUE, "x" * 5_000_000), daemon=True).start()
        assert reason() == "host b has been silent for 0.5 s"
        line.fail("nor can a failure here")


def test_a_host_that_is_gone_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    assert watched(ours)[1]() == "host b is gone; its log may say why"


@pytest.mark.parametrize("message", [b"\x80\x04", b"", b"PK\x03\x04"])
def test_what_cannot_be_read_ends_the_job(message: bytes) -> None:
    ours, theirs = socket.socketpair()
    other = Connection(theirs.detach())
    other.send_bytes(message)
    assert watched(ours)[1]().startswith("host b sent what cannot be read: ")
