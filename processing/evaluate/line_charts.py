"""Geometry of the charts over epochs and of the reliability diagram: numbers in, SVG coordinates out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from common.training_record import Epoch, TrainingRecord
from evaluate.calibration import Calibration
from evaluate.scales import round_ticks

WIDTH, HEIGHT = 300, 170
X_TICKS = 6
MOST_DOTS = 40
RELIABILITY_SIDE = 320
COUNTS_HEIGHT = 56
LOSS = "cross-entropy"
# The axis of the wait for data reaches this far at least, so that a harmless wait looks harmless.
MOST_HARMLESS_WAIT = 0.1
# Room below a curve that does not change.
FLAT = 0.1
Point = tuple[float, float]
Series = dict[str, list[tuple[int, float | None]]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve: ``parts`` are the points of its unbroken pieces, ``dots`` its points where they are few."""

    name: str
    kind: str
    parts: list[str]
    dots: list[Point]


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """A chart of WIDTH x HEIGHT; ticks are (coordinate, text), ``best`` is the x of the best epoch."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    best: float
    best_epoch: int


def training_charts(record: TrainingRecord) -> list[LineChart]:
    """Return loss, the metric that chose the best epoch, and the wait for data; a metric without values has none."""
    epochs = sorted(record.epochs, key=lambda entry: entry.epoch)
    wait: Series = {"waiting for data": [(entry.epoch, entry.data_wait_fraction) for entry in epochs]}
    charts = [
        _chart("Loss (cross-entropy)", _both(epochs, LOSS), record, unit=1, shown=(0.0,)),
        _chart(_title(record.selected_by), _both(epochs, record.selected_by), record, unit=100),
        _chart("Time spent waiting for data", wait, record, unit=100, shown=(0.0, MOST_HARMLESS_WAIT)),
    ]
    return [chart for chart in charts if chart is not None]


def _both(epochs: list[Epoch], metric: str) -> Series:
    return {
        "train": [(entry.epoch, entry.train.get(metric)) for entry in epochs],
        "validation": [(entry.epoch, entry.validation.get(metric)) for entry in epochs],
    }


def _title(metric: str) -> str:
    return metric[:1].upper() + metric[1:].replace("_", " ")


def _chart(
    title: str, series: Series, record: TrainingRecord, *, unit: int, shown: tuple[float, ...] = ()
) -> LineChart | None:
    """Lay a chart out; ``unit`` 100 shows percentages, ``shown`` are values that the vertical axis has in any case."""
    values = [value for points in series.values() for _, value in points if value is not None]
    if not values:
        return None
    low, high = min(*values, *shown, math.inf), max(*values, *shown, -math.inf)
    y_values = round_ticks(low if high > low else high - FLAT, high)
    numbers = sorted(entry.epoch for entry in record.epochs)
    span = max(1, numbers[-1] - numbers[0])

    def x(epoch: int) -> float:
        return round((epoch - numbers[0]) / span * WIDTH, 1) if len(numbers) > 1 else WIDTH / 2

    def y(value: float) -> float:
        return round(HEIGHT - (value - y_values[0]) / (y_values[-1] - y_values[0]) * HEIGHT, 1)

    return LineChart(
        title=title,
        lines=[
            _line(name, [(x(epoch), None if value is None else y(value)) for epoch, value in points])
            for name, points in series.items()
        ],
        x_ticks=[(x(epoch), str(epoch)) for epoch in range(numbers[0], numbers[-1] + 1, -(-span // X_TICKS))],
        y_ticks=[(y(value), f"{unit * value:.4g}{'%' if unit > 1 else ''}") for value in y_values],
        best=x(record.best_epoch),
        best_epoch=record.best_epoch,
    )


def _line(name: str, points: list[tuple[float, float | None]]) -> Line:
    parts: list[list[Point]] = [[]]
    for x, y in points:
        if y is None:
            parts.append([])
        else:
            parts[-1].append((x, y))
    known = [point for part in parts for point in part]
    return Line(
        name=name,
        kind="train" if name == "train" else "main",
        parts=[" ".join(f"{x},{y}" for x, y in part) for part in parts if len(part) > 1],
        dots=known if len(known) <= MOST_DOTS else [],
    )


def reliability(found: Calibration) -> dict[str, Any]:
    """Return the bars of the reliability diagram, in a square of RELIABILITY_SIDE, and those of the counts below it."""
    most = max(entry.count for entry in found.bins)
    total = sum(entry.count for entry in found.bins)
    side = RELIABILITY_SIDE
    bars = []
    for entry in found.bins:
        if entry.confidence is None or entry.accuracy is None:
            continue
        top, bottom = max(entry.accuracy, entry.confidence), min(entry.accuracy, entry.confidence)
        bars.append(
            {
                "bin": entry,
                "x": round(entry.lower * side + 1, 1),
                "width": round((entry.upper - entry.lower) * side - 2, 1),
                "y": round((1 - entry.accuracy) * side, 1),
                "height": round(entry.accuracy * side, 1),
                "gap_y": round((1 - top) * side, 1),
                "gap_height": round((top - bottom) * side, 1),
                "count_height": round(max(1.0, entry.count / most * COUNTS_HEIGHT), 1),
                "share": entry.count / total,
            }
        )
    return {"side": side, "counts_height": COUNTS_HEIGHT, "bars": bars}
