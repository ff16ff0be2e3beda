"""What went wrong on this machine: failed runs and deployments of an environment, and the local endpoint's log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from imgpipe.errors_found import Found, Problem, one_line, refused_requests
from local.endpoint.deployments import NAME, deployments
from local.endpoint.state import endpoint_directory

_LOG = "serve.log"


def find_local(home: Path, environment: str, since: datetime) -> Found:
    """Looks below `home`, the .imgpipe directory; what is not there becomes a note."""
    found = Found(problems=list(_runs(home / "runs", environment, since)))
    if not (home / "runs").is_dir():
        found.notes.append("no local run yet")
    endpoint = endpoint_directory(home, environment)
    found.problems += _deployments(endpoint, since)
    logs = sorted(endpoint.rglob(_LOG)) if endpoint.is_dir() else []
    if not logs:
        found.notes.append(f"no local endpoint of environment {environment}")
    for log in logs:
        found.problems += refused_requests(_lines(log, since), source="local endpoint", more=str(log))
    return found


def _deployments(directory: Path, since: datetime) -> Iterator[Problem]:
    for ended in deployments(directory):
        if ended.failure is not None and ended.time >= since:
            yield Problem(
                time=ended.time,
                source="local deployment" + (f" of version {ended.version}" if ended.version else ""),
                reason=one_line(ended.failure),
                more=str(directory / NAME),
            )


def _runs(runs: Path, environment: str, since: datetime) -> Iterator[Problem]:
    for path in runs.glob("*/summary.json"):
        if path.parent.is_symlink():  # `latest`, which is one of the others
            continue
        time = datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc)
        if time < since:
            continue
        summary = json.loads(path.read_text(encoding="utf-8"))
        of_it = summary.get("environment", environment) == environment  # earlier runs do not say
        if summary["status"] == "Failed" and of_it:
            yield Problem(
                time=time,
                source=f"local run, pipeline {summary['pipeline']}",
                reason=one_line(summary["failure_reason"]),
                more=str(path.parent / "logs"),
            )


def _lines(log: Path, since: datetime) -> Iterator[tuple[datetime, str]]:
    """The lines of a log since a time; one that has none of its own takes that of the line before."""
    time = since
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            time = _time(line) or time
            if time >= since:
                yield time, line


def _time(line: str) -> datetime | None:
    try:
        return datetime.fromisoformat(str(json.loads(line)["time"]).replace("Z", "+00:00"))
    except (ValueError, KeyError, TypeError):
        return None  # not one of the container's own lines
