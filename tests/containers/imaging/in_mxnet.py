"""Runs a few lines of Python in MXNet's own environment, for the tests of the imaging container."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]


def in_mxnet(code: str, *arguments: object) -> Any:
    """Run ``code``, which prints JSON as its last line, with ``arguments`` as sys.argv[1:]; returns what it printed."""
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet: run make setup or set IMGPIPE_MXNET_PYTHON")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(interpreter), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
