"""Commands that work on this machine: SIGTERM and the loss of the terminal end them as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

import imgpipe.cli
import imgpipe.commands.endpoint
import imgpipe.local_endpoint
import imgpipe.versions
import local.monitoring
import local.run
import local.serving
from local.endpoint.control import EndpointControl
from local.run import RunResult

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """`imgpipe ...` in this process: exit code and errors."""
    for module in (imgpipe.project, imgpipe.commands.endpoint, imgpipe.local_endpoint):
        monkeypatch.setattr(module, "HOME", tmp_path / "home")
    monkeypatch.setattr(imgpipe.versions, "registry_of", lambda home, env: None)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["imgpipe", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            imgpipe.cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture to classify."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "a.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        (local.serving, "redeploy_locally", ("endpoint", "--local", "--start")),
        (local.monitoring, "monitor_locally", ("monitor", "--local")),
        (local.run, "run_locally", ("transform", "--local")),
    ],
    ids=["endpoint", "monitor", "transform"],
)
def test_a_signal_is_an_interrupt(
    command: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    arguments: tuple[str, ...],
    number: signal.Signals,
) -> None:
    cleaned: list[bool] = []

    def interrupted(*arguments: Any, **options: Any) -> NoReturn:
        assert signal.getsignal(number) is signal.default_int_handler, "the default ends the process without tidying up"
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("nothing happened")
        finally:
            cleaned.append(True)

    monkeypatch.setattr(module, name, interrupted)
    given = (*arguments, folder) if name == "run_locally" else arguments
    assert command(*given) == (130, "stopped\n")
    assert cleaned == [True]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_stopping_the_endpoint_is_not_left_half_done(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Running(EndpointControl):
        def __init__(self) -> None: ...

        def stop(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(imgpipe.local_endpoint, "running_endpoint", lambda env: Running())
    assert command("endpoint", "--local", "--stop") == (130, "stopped\n")


def test_a_stopped_transform_says_where_its_files_are(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = RunResult(
        directory=tmp_path / "run", summary={"status": "Stopped", "failure_reason": None}, parameters={}, error=None
    )
    monkeypatch.setattr(local.run, "run_locally", lambda request, observer: result)
    code, error = command("transform", "--local", folder)
    assert (code, error) == (130, f"stopped, what had been done is in {tmp_path / 'run'}\n")
