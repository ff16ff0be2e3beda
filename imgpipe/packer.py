"""Runs the packer of the imaging container on a folder: its own program, in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

PROGRAM = "preprocess.folder"


def become_packer(arguments: list[str]) -> NoReturn:
    """Replace this process by the packer, which knows the options of `imgpipe pack`."""
    processing = str(Path(__file__).absolute().parent.parent / "processing")
    # No project code from the caller's folder; and the libraries' own threads would fight with the workers.
    environment = {**os.environ, "PYTHONPATH": processing, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, "-m", PROGRAM, *arguments], environment)
