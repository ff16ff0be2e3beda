"""python -m monitor as SageMaker runs it: arguments, exit codes, the message, and nothing of MXNet or the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from captured import END, START, Scene

from common.files import write_json

REPOSITORY = Path(__file__).parents[3]
ARGUMENTS = ("--endpoint", "imgpipe-dev", "--version", "3", "--start", START, "--end", END)
# No module for a socket's other end is loaded, and none of MXNet.
PROGRAM = """
import runpy, sys
try:
    runpy.run_module("monitor", run_name="__main__", alter_sys=True)
finally:
    print("loaded", sorted({"mxnet", "boto3", "urllib.request", "http.client"} & set(sys.modules)))
"""


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(REPOSITORY / "processing")}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    scene = Scene(tmp_path / "processing" / "input")
    scene.capture(scene.live[:60])
    return tmp_path


def test_a_run_writes_both_files_and_prints_the_scores(root: Path) -> None:
    done = _run(root, "--min-records", "50", *ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert "Read 60 lines of 1 files: 60 images, 60 of them distinct" in done.stdout
    assert "verdict=no_drift" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded []"
    output = root / "processing" / "output" / "monitor"
    assert sorted(path.name for path in output.iterdir()) == [
        "monitor.html",
        "monitor.json",
        "predictions.jsonl",
        "undecided.txt",
    ]
    assert json.loads((output / "monitor.json").read_text())["window"] == {"start": START, "end": END, "since": None}


def test_too_few_is_no_failure(root: Path) -> None:
    times = {"undecided_since": "2026-01-20T00:00:00Z", "new_since": START}
    write_json(root / "processing" / "input" / "history" / "monitor" / "inputs" / "window.json", times)
    done = _run(root, "--min-records", "61", "--since", "none", *ARGUMENTS)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-3:-1] == [
        f"problem: captures from 2026-01-20T00:00:00Z to {START} are left out",
        "verdict=too_few (61 distinct images are needed)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--min-records", "5", *ARGUMENTS), "must be a whole number from 20 to 1000000000, got '5'"),
        ((*ARGUMENTS, "--since", "yesterday"), "must be a time such as 2026-01-31T15:00:00Z, got 'yesterday'"),
        (ARGUMENTS[:-2], "the following arguments are required: --end"),
    ],
)
def test_a_wrong_argument_is_one_line_in_the_message(root: Path, arguments: tuple[str, ...], message: str) -> None:
    done = _run(root, *arguments)
    assert done.returncode == 1
    assert message in (root / "output" / "message").read_text()
    assert len(done.stderr.splitlines()) == 1
