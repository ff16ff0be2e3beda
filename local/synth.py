"""Synthesises an environment in a process of its own, so that nothing here depends on the infrastructure code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from local.assembly import CloudAssembly, read_assembly
from local.errors import LocalRunError


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
