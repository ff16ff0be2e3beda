"""Captured requests in the bucket, hour by hour, and how many of these hours fit into a window."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .artifacts import Artifacts

VARIANT = "AllTraffic"
# Of the job's volume, which holds logs and results too.
VOLUME_SHARE = 0.8
_GB = 10**9
_HOUR = re.compile(r"\d{4}/\d\d/\d\d/\d\d")


@dataclass(frozen=True, kw_only=True)
class Captures:
    """The keys of a window's files, and the first hour that it takes."""

    keys: list[str]
    start: datetime


def read_captures(
    artifacts: Artifacts, *, start: datetime, end: datetime, latest: datetime, volume_gb: int
) -> Captures:
    """Lists the files of the hours from `start` to `end`, without those oldest hours before `latest` that do not fit.

    Raises ValueError where the hours since `latest` alone do not fit into a volume of `volume_gb`.
    """
    hours = {hour: list(artifacts.objects(_prefix(artifacts.endpoint, hour))) for hour in _hours(start, end)}
    sizes = {hour: sum(item["Size"] for item in items) for hour, items in hours.items()}
    room = VOLUME_SHARE * volume_gb * _GB
    while start < latest and sum(sizes.values()) > room:
        del hours[start], sizes[start]
        start += timedelta(hours=1)
    if sum(sizes.values()) > room:
        raise ValueError(
            f"the captures of this window have {sum(sizes.values()) / _GB:.1f} GB, too many for a volume of "
            f"{volume_gb} GB: lower serving.capture_percent or monitoring.every_hours, or raise "
            "monitoring.volume_size_gb"
        )
    return Captures(keys=[item["Key"] for items in hours.values() for item in items], start=start)


def first_captured(artifacts: Artifacts, *, since: datetime) -> datetime | None:
    """The hour of the oldest file since an hour; None where there is none. Keys sort by time."""
    prefix = _prefix(artifacts.endpoint)
    for item in artifacts.objects(prefix, after=_prefix(artifacts.endpoint, since)):
        hour = item["Key"].removeprefix(prefix).rpartition("/")[0]
        if _HOUR.fullmatch(hour):
            return datetime.strptime(hour, "%Y/%m/%d/%H").replace(tzinfo=timezone.utc)
    return None


def _hours(start: datetime, end: datetime) -> list[datetime]:
    count = max(0, int((end - start) / timedelta(hours=1)))
    return [start + timedelta(hours=number) for number in range(count)]


def _prefix(endpoint: str, hour: datetime | None = None) -> str:
    return f"capture/{endpoint}/{VARIANT}/{'' if hour is None else format(hour, '%Y/%m/%d/%H/')}"
