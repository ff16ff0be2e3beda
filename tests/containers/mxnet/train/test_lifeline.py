"""Values reach every host, and every way in which one can end is noticed."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import numpy as np
import pytest

from train import lifeline
from train.lifeline import Lifeline
from train.meeting import Peer


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
