"""The program's name in hints: as it was called, so that a hint can be copied."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local.program import hint, program


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The console script of a virtual environment, called by its path; PATH does not lead to it."""
    path = tmp_path / "project" / ".venv" / "bin" / "imgpipe"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path), "run"])
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_below_the_folder_of_the_caller_the_path_is_relative(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parents[2])
    assert program() == ".venv/bin/imgpipe"
    assert hint("models --local") == ".venv/bin/imgpipe models --local"
    monkeypatch.setattr(sys, "argv", [".venv/bin/imgpipe"])
    assert program() == ".venv/bin/imgpipe"


def test_elsewhere_it_is_whole(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert program() == str(script)


def test_on_the_path_it_is_the_bare_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "imgpipe"


def test_another_imgpipe_on_the_path_is_not_meant(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "imgpipe"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert program().endswith("project/.venv/bin/imgpipe")


@pytest.mark.parametrize("called", ["/usr/bin/pytest", "/nowhere/imgpipe", "/a/imgpipe/__main__.py", "-c"])
def test_whatever_else_runs_it_the_name_stays(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert program() == "imgpipe"
