"""What MXNet is told through environment variables before it is imported."""

import os
from pathlib import Path

import pytest

from train import runtime


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MXNET_ENGINE_TYPE", raising=False)


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
