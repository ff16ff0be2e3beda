"""Times as this function reads and writes them: ISO 8601, UTC, and whole hours."""

from __future__ import annotations

from datetime import datetime, timezone

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def moment(text: str) -> datetime:
    """The time that an ISO 8601 text says, in UTC."""
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(timezone.utc)


def hour_of(time: datetime) -> datetime:
    """The start of the hour in which a time lies."""
    return time.replace(minute=0, second=0, microsecond=0)


def written(time: datetime) -> str:
    """A time as text, in whole seconds."""
    return format(time, _TIME)
