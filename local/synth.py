"""Synthesises an environment in a process of its own, so that nothing here depends on the infrastructure code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.assembly import CloudAssembly, read_assembly
from local.errors import LocalRunError


def declared_parameters(environment: str, pipeline: str, *, project: Path) -> list[dict[str, Any]] | None:
    """The parameters of a pipeline as its definition states them, in a fraction of the time that a synth takes.

    None where the settings are wrong: synth checks all of them, and says it in one line.
    """
    command = [sys.executable, "-m", "pipeline_def", environment, pipeline, "--parameters"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    declared: list[dict[str, Any]] = json.loads(done.stdout)
    return declared


def synthesise(environment: str, *, project: Path, outdir: Path) -> CloudAssembly:
    """Runs the project's app.py for an environment and reads what it wrote to `outdir`.

    Raises LocalRunError with app.py's own message where the environment or a setting is wrong.
    """
    environ = os.environ | {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps({"env": environment})}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise LocalRunError((lines[-1] if lines else f"app.py ended with {done.returncode}").removeprefix("error: "))
    return read_assembly(outdir)
