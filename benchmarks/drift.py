"""How often the monitor cries wolf, and what it notices: `make bench-drift`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import ROOT
from benchmarks.machine import machine
from benchmarks.measure import BenchmarkError
from benchmarks.program import carry_out, write_json
from benchmarks.report import Figure, Result, summary

HOME = ROOT / ".imgpipe" / "benchmarks"
IMAGES = ROOT.parent / "shared" / "data"
WINDOWS, QUICK_WINDOWS = 200, 5
# Two windows in a hundred, of 200 that differ by chance themselves.
MOST_FALSE_ALARMS_PERCENT = 2.0
LEAST_DETECTED_PERCENT = 95.0
# Data set, images of a window, of a test set, and the plants that have to be noticed there.
WORKLOADS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "bikes": ("cifar100_bikes_train", 150, 250, ("darkened to 60%", "one class only")),
    "cats and dogs": ("cats_dogs", 150, 250, ("darkened to 60%", "darkened to 80%")),
    "signs": ("gtsrb", 150, 400, ("darkened to 60%",)),
}
NONE = "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the JSON; returns the exit code: 0 whether or not targets are met, 1 where it cannot."""
    parser = argparse.ArgumentParser(prog="make bench-drift ARGS=...", description=__doc__)
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the data sets")
    parser.add_argument("--only", choices=WORKLOADS, action="append", help="one workload; may be repeated")
    parser.add_argument("--rounds", type=int, help=f"windows of each workload, {WINDOWS} unless given")
    parser.add_argument("--quick", action="store_true", help="a few windows, to see that it runs")
    parser.add_argument("--table", action="store_true", help="print the last run's figures as a table")
    parser.add_argument("--json", type=Path, default=HOME / "drift.json", help="file of the figures")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = QUICK_WINDOWS if options.quick else WINDOWS
    return carry_out(options, _measure, rounds=WINDOWS)


def _measure(options: argparse.Namespace) -> None:
    about, results = {"machine": machine(), "windows": options.rounds}, []
    for name in options.only or WORKLOADS:
        result = _workload(name, options.images, windows=options.rounds)
        print(result.text(), flush=True)
        results.append(result)
        write_json(options.json, about, results)
    print(summary(results))


def _workload(name: str, images: Path, *, windows: int) -> Result:
    folder, size, tested, noticed = WORKLOADS[name]
    if not (images / folder).is_dir():
        raise BenchmarkError(f"{images / folder} does not exist: give the folder of the data sets with --images")
    found = _windows({"images": str(images / folder), "windows": windows, "size": size, "tested": tested})
    called = found["called"]
    figures = [
        _figure("windows without drift that alarm, percent", called[NONE], windows, most=MOST_FALSE_ALARMS_PERCENT)
    ]
    figures += [
        _figure(
            f"{plant}: windows that alarm, percent",
            scores,
            windows,
            least=LEAST_DETECTED_PERCENT if plant in noticed else None,
        )
        for plant, scores in called.items()
        if plant != NONE
    ]
    accuracy = 100 * found["accuracy"]
    what = f"{windows} windows of {size} images against {tested} test images, {accuracy:.1f} % called right"
    return Result(workload=name, what=what, figures=figures, details=found)


def _figure(
    name: str, called: dict[str, int], windows: int, *, most: float | None = None, least: float | None = None
) -> Figure:
    share = 100 * called.get("window", 0) / windows
    return Figure(name=name, value=share, target=least if most is None else most, below=most is not None)


def _windows(settings: dict[str, Any]) -> dict[str, Any]:
    program = Path(__file__).with_name("drift_windows.py")
    text = json.dumps({**settings, "limit": 2000, "seed": 20_260_131, "plants": True})
    done = subprocess.run(
        [sys.executable, program, text],
        env=os.environ | {"PYTHONPATH": str(ROOT / "processing"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(" ".join(done.stderr.splitlines()[-1:]))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
