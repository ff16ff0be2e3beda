"""A host that does not come, or belongs to another job, is named."""

import socket
import threading

import pytest

from common.contract import ContainerError
from train import lifeline


def free_address() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()


def test_a_host_that_does_not_come_is_named() -> None:
    with pytest.raises(ContainerError, match=r"host b, c has not come within 0\.1 s"):
        lifeline.accept(free_address(), "job", ["b", "c"], seconds=0.1)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ContainerError, match="cannot be used: Addr"):
        lifeline.accept(other.getsockname(), "job", ["b"])


def test_a_first_host_that_does_not_answer_is_named() -> None:
    with pytest.raises(ContainerError, match="host a does not answer at port"):
        lifeline.connect(free_address(), "job", "b", "a", seconds=0.1)


def test_a_host_of_another_job_is_named() -> None:
    address = free_address()
    stranger = threading.Thread(target=lifeline.connect, args=(address, "other", "b", "a"))
    stranger.start()
    with pytest.raises(ContainerError, match="host b of job other came to job mine at port"):
        lifeline.accept(address, "mine", ["b"])
    stranger.join()


def test_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "SILENCE_SECONDS", 0.1)
    address = free_address()
    threading.Thread(target=lifeline.connect, args=(address, "job", "b", "a"), daemon=True).start()
    peers = lifeline.accept(address, "job", ["b"])
    reasons: list[str] = []
    noticed = threading.Event()
    lifeline.Lifeline(peers, is_first=True, lost=lambda reason: (reasons.append(reason), noticed.set()))
    assert noticed.wait(20)
    assert reasons[0].startswith("host b")
