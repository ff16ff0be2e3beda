"""What is known of a window beside its arguments: window.json, which whoever chose the window wrote with the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError
from common.dataset import read_json
from monitor.capture import moment

FILE = "window.json"


@dataclass(frozen=True, kw_only=True)
class Window:
    """Times in ISO 8601 and UTC. ``undecided_since`` is the hour of the oldest captures without a verdict.

    What was captured from then to the window's start is left out. No earlier result told of the hours since
    ``new_since``.
    """

    undecided_since: str
    new_since: str


def read_window(folder: Path, *, start: str) -> Window:
    """Read window.json, which may lie in folders below; without it the window follows no other one.

    ContainerError where it lacks a time.
    """
    path = next(iter(sorted(folder.rglob(FILE))), None)
    if path is None:
        return Window(undecided_since=start, new_since=start)
    content = read_json(path)
    try:
        times = {name: str(content[name]) for name in ("undecided_since", "new_since")}
        for time in times.values():
            moment(time)
    except (KeyError, TypeError, ValueError) as error:
        raise ContainerError(f"{path} lacks or misstates {error}: select the window again") from None
    return Window(**times)
