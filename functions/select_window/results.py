"""Earlier results of the monitor, known by their keys: where each window ended, and whether it came to a verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from .artifacts import Artifacts

RESULT, PREDICTIONS = "monitor.json", "predictions.jsonl"
# The job says here why there is no verdict, and leaves it empty where there is one; the listing leaves empty objects
# out. So keys tell what this function's role is not allowed to read.
UNDECIDED = "undecided.txt"
# Results of hours that somebody only looked at are no part of the sequence of windows.
LOOKS = "looks"
# History goes back: so many of the newest verdicts are enough.
MOST_HISTORY = 60
_END = "%Y-%m-%dT%H"  # of a window, in the keys of its results
_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d")

_Keys = list[tuple[datetime, str]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Results of windows that ended before another, by their ends, the oldest first; `predictions` are kept answers."""

    decided: _Keys = field(default_factory=list)
    undecided: _Keys = field(default_factory=list)
    predictions: _Keys = field(default_factory=list)

    def unjudged_since(self, end: datetime, *, every: timedelta) -> datetime:
        """From when on no window came to a verdict, at least `every` before `end`.

        Where none ever did, that is the start of the first window. A run that failed left no result.
        """
        latest = end - every
        if self.decided:
            return min(latest, self.decided[-1][0])
        if self.undecided:
            return min(latest, self.undecided[0][0] - every)
        return latest

    def told_until(self, start: datetime) -> datetime:
        """The end of the newest result, with a verdict or without, but not before `start`."""
        return max([start, *(time for time, _ in self.decided + self.undecided)])

    def history(self, first: datetime) -> list[str]:
        """The newest verdicts, for charts, and what was predicted in windows that ended at `first` or later.

        A window without a verdict is part of the next one, so a chart has no place for it.
        """
        verdicts = [key for _, key in self.decided[-MOST_HISTORY:]]
        return verdicts + [key for time, key in self.predictions if time >= first]


def read_results(artifacts: Artifacts, *, before: datetime) -> Results:
    """Lists the results of windows that ended before `before`."""
    prefix = f"monitor/{artifacts.endpoint}/"
    found: dict[str, _Keys] = {RESULT: [], PREDICTIONS: [], UNDECIDED: []}
    for key in artifacts.keys(prefix):
        hour, _, name = key.removeprefix(prefix).partition("/")
        if name in found and _HOUR.fullmatch(hour) and hour < format(before, _END):
            found[name].append((datetime.strptime(hour, _END).replace(tzinfo=timezone.utc), key))
    without = {time for time, _ in found[UNDECIDED]}
    results = sorted(found[RESULT])
    return Results(
        decided=[item for item in results if item[0] not in without],
        undecided=[item for item in results if item[0] in without],
        predictions=sorted(found[PREDICTIONS]),
    )


def result_prefix(endpoint: str, end: datetime, *, publish: bool) -> str:
    """Where the result of a window lies."""
    return "/".join(["monitor", endpoint, *([] if publish else [LOOKS]), format(end, _END)])
