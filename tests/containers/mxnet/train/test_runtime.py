"""What MXNet is told through environment variables before it is imported."""

import os
from pathlib import Path

import pytest

from train import runtime


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MXNET_ENGINE_TYPE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("files", "engine"), [([], "NaiveEngine"), (["nvidiactl", "nvidia0"], None), (["nvidia-caps"], "NaiveEngine")]
)
def test_only_a_machine_without_gpu_computes_in_program_order(
    tmp_path: Path, files: list[str], engine: str | None
) -> None:
    for name in files:
        (tmp_path / name).touch()
    runtime.run_in_program_order(tmp_path)
    assert os.environ.get("MXNET_ENGINE_TYPE") == engine


def test_an_engine_set_from_outside_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "ThreadedEngine")
    runtime.run_in_program_order(tmp_path)
    assert os.environ["MXNET_ENGINE_TYPE"] == "ThreadedEngine"


def test_every_core_is_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.use_available_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert runtime.use_available_cores() == 3
