"""Measures what a cold start of each classification function imports: `python -m benchmarks.cold_imports`."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ("serialize", "classify", "filter")
LIMIT_MS = 300
_TIMED = "import sys, time; began = time.process_time(); {}; print((time.process_time() - began) * 1000)"


def import_ms(statement: str, *, rounds: int) -> float:
    """CPU milliseconds of an import in a fresh process as in Lambda, tracing on; the median of `rounds`."""
    environ = os.environ | {"LAMBDA_TASK_ROOT": str(ROOT), "PYTHONPATH": str(ROOT / "functions")}
    command = [sys.executable, "-c", _TIMED.format(statement)]
    times = [
        float(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return statistics.median(times)


def main() -> int:
    """Prints a line per function; 1 where one takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="processes per function")
    rounds = parser.parse_args().rounds
    slow = 0
    for name in FUNCTIONS:
        whole = import_ms(f"import {name}.handler", rounds=rounds)
        # Filter calls no service and imports no boto3.
        shared = 0.0 if name == "filter" else import_ms("import boto3", rounds=rounds)
        slow += whole - shared > LIMIT_MS
        print(f"{name:10} {whole:6.0f} ms of CPU, {whole - shared:6.0f} without boto3 (limit {LIMIT_MS})")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
