"""A run's own directory below `.imgpipe/runs`, and what is written there so that a reader sees all of it or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.files import write_whole

_REPORT = "steps/*/processing/output/*/report.html"


class RunDirectory:
    """Nameless until the execution has an id."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def assembly(self) -> Path:
        """Where the environment is synthesised to."""
        return self.path / "cdk.out"

    @property
    def logs(self) -> Path:
        """One log for each step."""
        return self.path / "logs"

    def settle(self, execution_id: str) -> None:
        """Gives the directory its name, and points `latest` at it."""
        self.path = self.path.rename(self.path.with_name(execution_id))
        link = self.path.with_name(f".latest-{execution_id}")
        link.symlink_to(execution_id)
        link.replace(self.path.with_name("latest"))

    def write_summary(self, content: dict[str, Any]) -> None:
        """Writes summary.json, and the report of the evaluation beside it where there is one."""
        for report in sorted(self.path.glob(_REPORT))[:1]:
            write_whole(self.path / "report.html", report.read_bytes())
        write_whole(self.path / "summary.json", f"{json.dumps(content, indent=2)}\n".encode())


@contextmanager
def new_directory(runs: Path) -> Iterator[RunDirectory]:
    """A directory for one run, which is removed if it never gets its name."""
    runs.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=runs))
    directory = RunDirectory(staging)
    try:
        directory.logs.mkdir()
        yield directory
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already where it has its name
