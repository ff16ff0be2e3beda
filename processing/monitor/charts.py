"""Geometry of the page's charts: numbers in, coordinates out; the templates draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitor.history import Point
from monitor.scales import round_ticks

WIDTH, HEIGHT = 300, 130
HISTOGRAM_HEIGHT = 120
MIX_SHOWN = 20
# Above the highest value, so that it does not lie on the chart's edge.
ROOM = 1.05
DATE_CHARACTERS = len("2026-01-31")
Ticks = list[tuple[float, str]]


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One window of a chart over time: where, whether it is above its threshold, and what to say of it."""

    x: float
    y: float
    high: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class TimeChart:
    """A score over the windows; lines are SVG points, ``threshold`` empty where there is none."""

    title: str
    line: str
    threshold: str
    dots: list[Dot]
    x_ticks: Ticks
    y_ticks: Ticks


@dataclass(frozen=True, kw_only=True)
class Series:
    """What a chart over time shows: (window's end, value, threshold or None) each; ``percent`` formats the axis."""

    title: str
    points: list[tuple[str, float, float | None]]
    percent: bool = False


def over_time(points: Sequence[Point], titles: dict[str, str]) -> list[TimeChart]:
    """Return a chart for each score, and the accuracy, that at least one window has."""
    ends = [point.end for point in points]
    series = [
        Series(title=title, points=[(point.end, *point.scores[name]) for point in points if name in point.scores])
        for name, title in titles.items()
        if name != "accuracy"
    ]
    known = [(point.end, point.accuracy, None) for point in points if point.accuracy is not None]
    series.append(Series(title="Live accuracy", points=list(known), percent=True))
    return [_time_chart(item, ends) for item in series if item.points]


def _time_chart(series: Series, ends: Sequence[str]) -> TimeChart:
    highest = max(max(value, threshold or 0.0) for _, value, threshold in series.points)
    ticks = round_ticks(1.0 if series.percent else ROOM * highest)
    places = {end: round(WIDTH * (index + 0.5) / len(ends), 1) for index, end in enumerate(ends)}

    def y(value: float) -> float:
        return round(HEIGHT - max(0.0, value) / ticks[-1] * HEIGHT, 1)

    return TimeChart(
        title=series.title,
        line=" ".join(f"{places[end]},{y(value)}" for end, value, _ in series.points),
        threshold=" ".join(f"{places[end]},{y(limit)}" for end, _, limit in series.points if limit is not None),
        dots=[
            Dot(x=places[end], y=y(value), high=limit is not None and value > limit, title=_said(end, value, limit))
            for end, value, limit in series.points
        ],
        x_ticks=[(places[end], end[:DATE_CHARACTERS]) for end in dict.fromkeys((ends[0], ends[-1]))],
        y_ticks=[(y(value), f"{100 * value:.3g}%" if series.percent else f"{value:.3g}") for value in ticks],
    )


def _said(end: str, value: float, limit: float | None) -> str:
    return f"{end}: {value:.3f}" + ("" if limit is None else f", threshold {limit:.3f}")


def histogram_chart(now: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Return bars of this window and an outline of the baseline, as shares of their images, over the filled bins."""
    current, earlier = _shares(now["counts"]), _shares(then["counts"])
    filled = [index for index, pair in enumerate(zip(current, earlier, strict=True)) if any(pair)]
    bins = range(filled[0], filled[-1] + 1)
    top, width = max(*current, *earlier), WIDTH / len(bins)

    def y(share: float) -> float:
        return round(HISTOGRAM_HEIGHT * (1 - share / top), 1)

    bars, outline = [], [f"M0 {HISTOGRAM_HEIGHT}"]
    for place, index in enumerate(bins):
        x = round(place * width, 1)
        edges = f"{now['edges'][index]:g} to {now['edges'][index + 1]:g}"
        bars.append(
            {
                "x": x,
                "width": round(width - 0.8, 1),
                "y": y(current[index]),
                "height": round(HISTOGRAM_HEIGHT - y(current[index]), 1),
                "title": f"{edges}: {100 * current[index]:.1f}% now, {100 * earlier[index]:.1f}% then",
            }
        )
        outline.append(f"V{y(earlier[index])}H{round((place + 1) * width, 1)}")
    return {
        "bars": bars,
        "outline": "".join([*outline, f"V{HISTOGRAM_HEIGHT}"]),
        "ends": [(0, f"{now['edges'][bins[0]]:g}"), (WIDTH, f"{now['edges'][bins[-1] + 1]:g}")],
    }


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def mix(classes: Sequence[str], now: Sequence[float], then: Sequence[float]) -> list[dict[str, Any]]:
    """Return the MIX_SHOWN classes whose share of the images changed most, with bar lengths in percent."""
    most = max(*now, *then) or 1.0
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "now": current,
            "then": earlier,
            "change": current - earlier,
            "now_width": round(100 * current / most, 1),
            "then_width": round(100 * earlier / most, 1),
        }
        for name, current, earlier in zip(classes, now, then, strict=True)
    ]
    return sorted(rows, key=lambda row: (-abs(row["change"]), row["name"]))[:MIX_SHOWN]
