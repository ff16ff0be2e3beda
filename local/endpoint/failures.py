"""Deployments on this machine that failed: when and why, for `imgpipe errors --local`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

NAME: Final = "failed-deployments.jsonl"


def note_failure(directory: Path, reason: str) -> None:
    """Writes down that a deployment of the endpoint below `directory` failed just now."""
    line = {"time": datetime.now(timezone.utc).isoformat(), "reason": reason}
    with (directory / NAME).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")


def failures(directory: Path) -> Iterator[tuple[datetime, str]]:
    """The time and reason of each failed deployment, oldest first."""
    path = directory / NAME
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        content = json.loads(line)
        yield datetime.fromisoformat(content["time"]), content["reason"]
