"""deployments.jsonl: the deployments on this machine, when and of which version each was, and why it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

NAME: Final = "deployments.jsonl"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One that has ended; `version` None where the state machine chose it, `failure` None where it succeeded."""

    time: datetime
    version: int | None
    failure: str | None


def note_deployment(directory: Path, *, version: int | None, failure: str | None) -> None:
    """Writes down how a deployment of the endpoint below `directory` ended just now."""
    ended = Deployment(time=datetime.now(timezone.utc), version=version, failure=failure)
    line = json.dumps({**asdict(ended), "time": ended.time.isoformat()})
    with (directory / NAME).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def deployments(directory: Path) -> Iterator[Deployment]:
    """Those that were written down, oldest first."""
    path = directory / NAME
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        content = json.loads(line)
        yield Deployment(**{**content, "time": datetime.fromisoformat(content["time"])})
