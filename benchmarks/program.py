"""What the benchmarks' programs have in common: how they end, their file of figures, and a kind of option."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError
from benchmarks.report import Result, markdown


def read_json(path: Path) -> dict[str, Any]:
    """Return what an earlier run has written; BenchmarkError where there was none."""
    if not path.is_file():
        raise BenchmarkError(f"{path} does not exist: run the benchmark first")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, about: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write what was measured so far, all of it or nothing."""
    content = {
        **about,
        "load_after": os.getloadavg()[0],
        "workloads": {result.workload: result.as_json() for result in results},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def carry_out(options: argparse.Namespace, measure: Callable[[argparse.Namespace], None], *, rounds: int) -> int:
    """Measure, or print the last run's figures; return the exit code, 0 whether or not targets are met."""
    options.rounds = options.rounds or (1 if options.quick else rounds)
    try:
        if options.table:
            print(markdown(read_json(options.json)))
        else:
            measure(options)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def positive(text: str) -> int:
    """Return an option's number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
