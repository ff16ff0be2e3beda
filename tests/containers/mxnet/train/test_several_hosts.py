"""A job on two hosts that are both killed goes on from the first host's checkpoint, exactly."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from train import job

pytestmark = pytest.mark.slow
MakeJob = Callable[..., Path]
PROGRAM = Path(job.__file__).parents[1]
NAMES = ["127.0.0.1", "127.0.0.2"]


def lay_out(make_job: MakeJob, name: str) -> list[Path]:
    """$ML_ROOT of each host; every host has a checkpoint folder, as SageMaker gives it one."""
    roots = []
    for host in NAMES:
        root = make_job(name=f"{name}-{host}", train=64, epochs=4, augmentation_type="crop", checkpoint_frequency=2)
        (root / "checkpoints").mkdir()
        content = {"current_host": host, "hosts": NAMES}
        (root / "input/config/resourceconfig.json").write_text(json.dumps(content))
        roots.append(root)
    return roots


def start(roots: list[Path]) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-m", "train"],
            env=os.environ
            | {
                "ML_ROOT": str(root),
                "PYTHONPATH": str(PROGRAM),
                "TRAINING_JOB_NAME": str(roots[0]),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for root in roots
    ]


def finish(roots: list[Path]) -> list[str]:
    """Run to the end; returns the log of each host."""
    processes = start(roots)
    try:
        logs = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], logs
    return logs


def kill_in_the_third_epoch(roots: list[Path]) -> None:
    processes = start(roots)
    assert processes[0].stdout is not None
    seen = next((line for line in processes[0].stdout if line.startswith("Epoch[2] Train-accuracy")), None)
    for process in processes:
        process.kill()
        process.communicate()
    assert seen is not None


def metric_lines(log: str) -> list[str]:
    return re.findall(r"^(?:Best: )?Epoch\[\d+\] (?:Train|Validation)-.*$", log, re.MULTILINE)


def untimed(root: Path) -> dict[str, Any]:
    """training.json without what a clock measured."""
    content: dict[str, Any] = json.loads((root / "model" / "training.json").read_text())
    for epoch in content["epochs"]:
        for name in ("seconds", "images_per_second", "data_wait_fraction", "system"):
            del epoch[name]
    return content


def test_two_killed_hosts_go_on_as_if_nothing_had_been(make_job: MakeJob) -> None:
    undisturbed, killed = lay_out(make_job, "undisturbed"), lay_out(make_job, "killed")
    expected = finish(undisturbed)
    kill_in_the_third_epoch(killed)
    shutil.rmtree(killed[0] / "model")
    for log, whole in zip(finish(killed), expected, strict=True):
        assert "Resumed from a checkpoint after 2 epochs" in log
        assert metric_lines(log) == [
            line for line in metric_lines(whole) if not line.startswith(("Epoch[0]", "Epoch[1]"))
        ]
    assert untimed(killed[0]) == untimed(undisturbed[0])
    for path in (undisturbed[0] / "model").glob("*.params"):
        assert (killed[0] / "model" / path.name).read_bytes() == path.read_bytes()
    for root in (undisturbed[1], killed[1]):
        assert not (root / "model").exists()
        assert not any((root / "checkpoints").iterdir())
