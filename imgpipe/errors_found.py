"""Something that went wrong, wherever it was found: what all sources of `imgpipe errors` share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from imgpipe.errors import CommandError

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_MOST: Final = timedelta(days=90)
_CLIENT_ERROR: Final = 400


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that went wrong: when, where, why in one line, and a command or place that tells more."""

    time: datetime  # with a time zone
    source: str
    reason: str
    more: str


@dataclass
class Found:
    """Problems, and notes about places that could not be looked at; ``waiting`` says that some queue is not empty."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waiting: bool = False

    def newest_first(self) -> list[Problem]:
        """The problems in the order in which a person reads them."""
        return sorted(self.problems, key=lambda problem: problem.time, reverse=True)


def parse_since(text: str, *, now: datetime) -> datetime:
    """The time that lies `30m`, `1h` or `2d` before `now`; raises CommandError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if length is None or length > _MOST:
        raise CommandError(f"--since {text!r}: write minutes, hours or days up to {_MOST.days}d, as 30m, 1h or 2d")
    return now - length


def one_line(text: Any) -> str:
    """A text without its line breaks; of JSON with a message, as Step Functions' causes have it, the message."""
    try:
        content = json.loads(text)
    except (TypeError, ValueError):
        content = None
    if isinstance(content, dict):
        text = content.get("errorMessage") or content.get("message") or text
    return " ".join(str(text).split())


def refused_requests(lines: Iterable[tuple[datetime, str]], *, source: str, more: str) -> Iterator[Problem]:
    """The requests of a serving container's log that were answered with 4xx or 5xx, equal ones as one problem.

    The container logs JSON lines with `level`, `event`, `status` and, of a refusal, `code`: processing/serve/access.py.
    Other lines count where their level is error.
    """
    groups: dict[str, tuple[datetime, int]] = {}
    for time, line in lines:
        reason = _reason(line)
        if reason:
            newest, count = groups.get(reason, (time, 0))
            groups[reason] = (max(newest, time), count + 1)
    for reason, (time, count) in groups.items():
        times = f"{count} times: " if count > 1 else ""
        yield Problem(time=time, source=source, reason=f"{times}{reason}", more=more)


def _reason(line: str) -> str | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None  # of another program's
    if not isinstance(content, dict):
        return None
    status = content.get("status")
    if isinstance(status, int) and status >= _CLIENT_ERROR:
        return f"status {status} {content.get('code') or content.get('message') or ''}".rstrip()
    if str(content.get("level", "")).lower() in ("error", "critical"):
        return one_line(content.get("message") or content.get("event") or line)
    return None


def utc(time: datetime) -> datetime:
    """A service's time in UTC; one without a zone is in UTC already."""
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
