"""Runs the packer of the imaging container on a folder, in this process."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

PROCESSING = Path(__file__).absolute().parent.parent / "processing"


def run_packer(arguments: list[str]) -> None:
    """Do what `python -m preprocess.folder` does, which knows the options of `imgpipe pack`, then exit."""
    # First on the path, as in the container: its modules are no packages of this project, nor of the caller's folder.
    sys.path.insert(0, str(PROCESSING))
    sys.argv[1:] = arguments
    import_module("common.contract").run(import_module("preprocess.folder").main, failure_file=None)
