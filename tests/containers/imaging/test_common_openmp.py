"""How OpenMP is told to use the cores, before MXNet is imported."""

import os

import pytest

from common.openmp import SPIN_COUNT, use_available_cores


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        # Set first, so that what the code under test adds is taken back too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_every_core_is_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use_available_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert use_available_cores() == 3


def test_threads_give_a_core_away_soon_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    use_available_cores()
    assert os.environ["GOMP_SPINCOUNT"] == SPIN_COUNT
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    use_available_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_a_wait_policy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    use_available_cores()
    assert "GOMP_SPINCOUNT" not in os.environ
