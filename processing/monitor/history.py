"""Earlier runs of the monitor: their monitor.json files, for scores over time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from monitor.problems import Problems

FILE = "monitor.json"
# The newest ones, which a chart can show.
MOST = 60


@dataclass(frozen=True, kw_only=True)
class Point:
    """One window: its end, the version that answered, score name -> (value, threshold), accuracy or None."""

    end: str
    version: str
    verdict: str
    scores: dict[str, tuple[float, float]]
    accuracy: float | None


def read_history(folder: Path, *, before: str, problems: Problems) -> list[Point]:
    """Return the newest MOST windows that ended before ``before`` (ISO 8601, UTC), oldest first.

    A damaged file goes to the problems: it takes a point from a chart and nothing else.
    """
    points: dict[str, Point] = {}
    for path in sorted(folder.rglob(FILE)):
        try:
            point = point_of(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problems.add("history", path.relative_to(folder).as_posix(), f"no result of the monitor: {error!r}")
            continue
        if point.end < before:
            points[point.end] = point
    return [points[end] for end in sorted(points)][-MOST:]


def point_of(content: dict[str, object]) -> Point:
    """Return the point of one monitor.json; KeyError, TypeError or ValueError where it is something else."""
    window, scores, accuracy = content["window"], content["scores"], content["accuracy"]
    if not isinstance(window, dict) or not isinstance(scores, list) or not isinstance(accuracy, dict | None):
        raise TypeError("window, scores or accuracy")
    return Point(
        end=str(window["end"]),
        version=str(content["model_version"]),
        verdict=str(content["verdict"]),
        scores={str(item["name"]): (float(item["value"]), float(item["threshold"])) for item in scores},
        accuracy=None if accuracy is None else float(accuracy["live"]),
    )
