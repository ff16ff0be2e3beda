"""`python -m pipeline_def` as a person calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline_def", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_prints_the_definition_and_nothing_else(own: str) -> None:
    done = _run()
    assert done.stdout == own + "\n"
    assert done.stderr == ""
    assert done.returncode == 0


def test_each_pipeline_can_be_printed(tune: str) -> None:
    assert _run("dev", "tune").stdout == tune + "\n"


def test_an_unknown_environment_names_the_known_ones() -> None:
    done = _run("qa")
    assert done.returncode == 2
    assert "invalid choice: 'qa'" in done.stderr
    assert "prod" in done.stderr
    assert "Traceback" not in done.stderr
