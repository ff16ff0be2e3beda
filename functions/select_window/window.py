"""The hours of a run, and what was captured in them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from .artifacts import Artifacts
from .captures import first_captured, read_captures
from .moments import hour_of, written
from .results import Results

# Hours without a verdict are made up for, but not for longer than this.
MOST_HOURS = timedelta(days=7)
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Window:
    """The hours from `start` to `end`, of which those since `deployed` count, and the keys of their captures.

    `undecided_since` is the hour of the live version's oldest capture without a verdict; where it lies before `start`,
    what was captured in between is left out. No earlier result has told of the hours since `new_since`.
    """

    start: datetime
    end: datetime
    deployed: datetime
    undecided_since: datetime
    new_since: datetime
    captures: list[str]

    @property
    def left_out(self) -> bool:
        """Whether there are captures without a verdict that the window has no room for."""
        return bool(self.captures) and self.undecided_since < self.start

    def texts(self) -> dict[str, str]:
        """Its times, as window.json and the job's arguments have them."""
        return {
            "start": written(self.start),
            "end": written(self.end),
            "since": written(self.deployed) if self.deployed > self.start else NONE,
            "undecided_since": written(self.undecided_since),
            "new_since": written(self.new_since),
        }


def select(artifacts: Artifacts, results: Results, *, end: datetime, deployed: datetime) -> Window:
    """No hour is left out after runs that failed or came to no verdict, as far as the longest window reaches.

    Raises ValueError where the captures do not fit into the job's volume.
    """
    every = timedelta(hours=int(os.environ["EVERY_HOURS"]))
    unjudged = results.unjudged_since(end, every=every)
    start = max(unjudged, end - MOST_HOURS)
    counted = max(start, hour_of(deployed))
    captures = read_captures(
        artifacts,
        start=counted,
        end=end,
        latest=end - every,
        volume_gb=int(os.environ["VOLUME_SIZE_GB"]),
    )
    start = captures.start if captures.start > counted else start
    window = Window(
        start=start,
        end=end,
        deployed=deployed,
        undecided_since=first_captured(artifacts, since=max(unjudged, hour_of(deployed))) or start,
        new_since=results.told_until(start),
        captures=captures.keys,
    )
    if window.left_out:
        hours = f"from {written(window.undecided_since)} to {written(start)}"
        _warn(f"what {artifacts.endpoint} captured {hours} is left out: a window holds no more")
    return window


def _warn(message: str) -> None:
    print(json.dumps({"level": "WARNING", "message": message}))
