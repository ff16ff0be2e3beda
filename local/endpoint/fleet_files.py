"""Where a fleet of the local endpoint has its files, and what goes when it has ended: all but its log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_FLEETS: Final = "fleets"
IMAGE: Final = "image"
ROOT: Final = "ml"


def fleet_directory(directory: Path, fleet: str) -> Path:
    """The folder of a fleet below that of its endpoint."""
    return directory / _FLEETS / fleet


def remove_files(directory: Path, fleet: str) -> None:
    """Removes the image's and the model's copies of a fleet that has ended."""
    for part in (IMAGE, ROOT):
        shutil.rmtree(fleet_directory(directory, fleet) / part, ignore_errors=True)


def remove_all_files(directory: Path) -> None:
    """The same for every fleet of an endpoint whose process does not run."""
    for folder in directory.glob(f"{_FLEETS}/*"):
        remove_files(directory, folder.name)
