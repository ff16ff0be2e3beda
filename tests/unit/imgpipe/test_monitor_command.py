"""What `imgpipe monitor` says of a monitor.json, and by its exit code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from imgpipe.cli import app
from imgpipe.commands.monitor import print_result, print_scores
from imgpipe.errors import CommandError
from local.emulator.executions import EndedExecution
from local.monitoring import MonitoringResult

UNDECIDED = {"missing_images": 20, "since": "2026-01-31T06:00:00Z", "hours": 18.0}
LEFT_OUT = {"start": "2026-01-29T12:00:00Z", "end": "2026-01-31T00:00:00Z"}


def result(verdict: str = "no_drift", **fields: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "model_version": "3",
        "records": {"distinct_images": 30, "images": 31, "needed": 50},
        "undecided": None,
        "left_out": None,
        "scores": [],
        "accuracy": None,
        "problems": {"first": []},
        **fields,
    }


def said(content: dict[str, Any]) -> list[str]:
    text = io.StringIO()
    print_scores(content, Console(file=text, width=80))
    return text.getvalue().splitlines()


def test_a_window_with_a_verdict_is_one_line() -> None:
    assert said(result()) == ["No drift: 30 distinct images of 31 captured, 50 needed; version 3"]


def test_a_window_without_a_verdict_and_what_it_leaves_out_are_a_line_each() -> None:
    assert said(result("too_few", undecided=UNDECIDED, left_out=LEFT_OUT))[1:] == [
        "Undecided: 20 distinct images are missing; what was captured since 2026-01-31T06:00:00Z (18 hours) stays part "
        "of the next window",
        "Left out: what was captured from 2026-01-29T12:00:00Z to 2026-01-31T00:00:00Z never came to a verdict",
    ]


def test_drift_is_a_finding_and_a_machine_that_failed_is_an_error(tmp_path: Path) -> None:
    ended = EndedExecution(arn="execution", status="SUCCEEDED")
    console = Console(file=io.StringIO())
    print_result(MonitoringResult(execution=ended, content=result("drift"), directory=tmp_path), console)
    failed = EndedExecution(arn="execution", status="FAILED", cause="no memory")
    with pytest.raises(CommandError, match="the monitor failed: no memory"):
        print_result(MonitoringResult(execution=failed), console)
    help_text = " ".join(CliRunner().invoke(app, ["monitor", "--help"]).stdout.split())
    assert "the exit code is 0 whatever the verdict" in help_text
