"""Measures what a cold start of each classification function imports: `python -m benchmarks.cold_imports`.

On this machine's Python and processor, with the layer's packages as they are installed here: once with byte code, as
the deployed layer has it, and once without. The functions' own modules have none, as on Lambda; the standard library
and boto3 have theirs, as in Lambda's runtime.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILER = ROOT / "scripts" / "compile-modules"
FUNCTIONS = ("serialize", "classify", "filter")
LIMIT_MS = 300
_TIMED = "import sys, time; began = time.process_time(); {}; print((time.process_time() - began) * 1000)"


def copy_packages(folder: Path) -> None:
    """Copies the installed packages that the layer holds to `folder`, without byte code."""
    [layer] = (ROOT / ".make" / "layers").glob("sources-*.zip")
    with zipfile.ZipFile(layer) as archive:
        places = {name.split("/")[1] for name in archive.namelist()}
    for name in sorted(place.split("-")[0] for place in places if place.endswith(".dist-info")):
        for file in metadata.distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)


def compile_packages(folder: Path) -> None:
    """Gives the modules of `folder` the byte code of this Python, by the program that compiles the layer."""
    version = ".".join(platform.python_version_tuple()[:2])
    subprocess.run([sys.executable, str(COMPILER), str(folder), str(folder), version], check=True)


def import_ms(statement: str, *, packages: Path, rounds: int) -> float:
    """CPU milliseconds of an import in a fresh process as in Lambda, tracing on; the median of `rounds`."""
    paths = os.pathsep.join(map(str, (packages.parent / "functions", packages)))
    environ = os.environ | {"LAMBDA_TASK_ROOT": str(ROOT), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _TIMED.format(statement)]
    times = [
        float(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return statistics.median(times)


def report(folder: Path, rounds: int) -> int:
    """Prints a line per function; returns how many take longer than the limit."""
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    sources, compiled = folder / "sources", folder / "compiled"
    copy_packages(sources)
    shutil.copytree(sources, compiled)
    compile_packages(compiled)
    boto3 = import_ms("import boto3", packages=compiled, rounds=rounds)
    print(f"Python {platform.python_version()}, ms of CPU without boto3's {boto3:.0f}; limit {LIMIT_MS} with byte code")
    slow = 0
    for name in FUNCTIONS:
        # Filter calls no service and imports no boto3.
        shared = 0.0 if name == "filter" else boto3
        plain, fast = (
            import_ms(f"import {name}.handler", packages=packages, rounds=rounds) - shared
            for packages in (sources, compiled)
        )
        slow += fast > LIMIT_MS
        print(f"{name:10} {plain:6.0f} without byte code, {fast:6.0f} with it")
    return slow


def main() -> int:
    """Measures and reports; 1 where a function takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="processes per figure")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="imgpipe-cold-imports-") as folder:
        return 1 if report(Path(folder), rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
