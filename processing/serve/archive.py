"""Unpacks a packaged model.tar.gz, which on SageMaker the service does."""

from __future__ import annotations

from pathlib import Path

from common.archive import extract_files
from common.contract import ContainerError
from serve.facts import FACTS_NAME, LABELS_NAME, NETWORK_NAME, SAMPLE_NAME

NAMES = frozenset({NETWORK_NAME, FACTS_NAME, LABELS_NAME, SAMPLE_NAME})


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into ``folder`` with checked paths; ContainerError where it is unsafe, damaged or not packaged."""
    if not archive.is_file():
        raise ContainerError(f"{archive} does not exist: give the model.tar.gz that Package wrote into serving")
    folder.mkdir(parents=True, exist_ok=True)
    found = {path.name for path in extract_files(archive, folder, wanted=NAMES.__contains__)}
    missing = sorted(NAMES - {SAMPLE_NAME} - found)
    if missing:
        raise ContainerError(
            f"{archive} holds no {', '.join(missing)}: this is no packaged model; take the model.tar.gz that the "
            "Package step wrote into serving, not a training job's"
        )
