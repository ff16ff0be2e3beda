"""What the project promises of a local run on real photographs: accuracy and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_bicycles_and_motorcycles_are_told_apart() -> None:
    data = Path(os.environ.get("IMGPIPE_TEST_DATA") or ROOT.parent / "shared" / "data") / "cifar100_bikes_train"
    if not data.is_dir():
        pytest.skip("needs real photographs: set IMGPIPE_TEST_DATA to a folder with cifar100_bikes_train")
    command = [sys.executable, "-m", "imgpipe", "run", "--runtime", "process", "--data", str(data)]
    command += ["--param", "ImageSize=32", "--param", "RecordFormat=png", "--param", "AccuracyThreshold=0.87"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [report] = [line for line in done.stdout.splitlines() if line.startswith("Report")]
    summary = json.loads(Path(report.split()[-1]).with_name("summary.json").read_text(encoding="utf-8"))
    assert summary["metrics"]["accuracy"] >= 0.87
    assert all(gate["passed"] for gate in summary["gates"])
    assert summary["peak_memory_bytes"] < 2 * 2**30
