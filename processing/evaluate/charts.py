"""Geometry of the report's charts: numbers in, coordinates out; the template draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from evaluate import curves
from evaluate.comparison import Comparison
from evaluate.metrics import BINARY, Scores
from evaluate.predict import Predictions

TABLE_CLASSES = 15
HEATMAP_WIDTH = 880
SMALLEST_CELL, LARGEST_CELL, CELL_WITH_TEXT = 10, 26, 17
LABEL_CHARACTERS = 26
CHARACTER_WIDTH = 6.1
FAINTEST = 0.10
HIGHLIGHTED_CURVES = 3
ROC_SIDE = 320
CONFUSIONS_SHOWN = 8
INTERVAL_WIDTH = 340


@dataclass(frozen=True, kw_only=True)
class RocLine:
    """One curve: ``points`` are SVG coordinates in a square of ROC_SIDE, ``kind`` names its style in the template."""

    name: str
    auc: float | None
    points: str
    kind: str


def roc_lines(predictions: Predictions, scores: Scores) -> list[RocLine]:
    """Return what to draw, the most important last: class 1 of two classes, else every class and their mean."""
    labels, probabilities = predictions.labels, predictions.probabilities
    overall = scores.values["roc_auc"]
    if len(scores.per_class) == BINARY:
        curve = curves.roc(labels, probabilities, positive=1)
        name = scores.per_class[1].name
        return [] if curve is None else [RocLine(name=name, auc=overall, points=_points(curve), kind="main")]
    found = {
        index: curve
        for index in range(len(scores.per_class))
        if (curve := curves.roc(labels, probabilities, positive=index)) is not None
    }
    if not found:
        return []
    by_auc = sorted(found, key=lambda index: (scores.per_class[index].roc_auc or 0.0, index))
    kinds = {index: f"worst{rank}" for rank, index in enumerate(by_auc[:HIGHLIGHTED_CURVES])}
    lines = [
        RocLine(
            name=scores.per_class[index].name,
            auc=scores.per_class[index].roc_auc,
            points=_points(found[index]),
            kind=kinds.get(index, "faint"),
        )
        for index in reversed(by_auc)
    ]
    mean = RocLine(
        name="mean over classes", auc=overall, points=_points(curves.macro_roc(list(found.values()))), kind="main"
    )
    return [*lines, mean]


def _points(curve: curves.Curve) -> str:
    return " ".join(f"{x * ROC_SIDE:.1f},{(1 - y) * ROC_SIDE:.1f}" for x, y in zip(*curve, strict=True))


def confusion_cells(scores: Scores) -> list[list[dict[str, Any]]]:
    """Return the matrix as rows of cells: count, share of the true class in 0..1, opacity, and whether it is right."""
    rows = []
    for truth, row in enumerate(scores.confusion.tolist()):
        total = sum(row) or 1
        rows.append(
            [
                {"count": count, "share": count / total, "opacity": _opacity(count / total), "hit": truth == predicted}
                for predicted, count in enumerate(row)
            ]
        )
    return rows


def _opacity(share: float) -> float:
    """Map a share to an opacity by its square root: a handful among hundreds must still be seen."""
    return round(FAINTEST + (1 - FAINTEST) * math.sqrt(share), 3) if share else 0.0


def heatmap(scores: Scores) -> dict[str, Any]:
    """Return the layout of the matrix as a drawing for many classes: only cells that are not 0 are drawn."""
    names = [entry.name for entry in scores.per_class]
    size = max(SMALLEST_CELL, min(LARGEST_CELL, HEATMAP_WIDTH // len(names)))
    margin = round(min(max(map(len, names)), LABEL_CHARACTERS) * CHARACTER_WIDTH) + 10
    cells = [
        {**cell, "x": column * size, "y": row * size, "truth": names[row], "predicted": names[column]}
        for row, line in enumerate(confusion_cells(scores))
        for column, cell in enumerate(line)
        if cell["count"]
    ]
    return {
        "size": size,
        "margin": margin,
        "side": size * len(names),
        "font": min(11, size - 1),
        "with_text": size >= CELL_WITH_TEXT,
        "labels": [_shortened(name) for name in names],
        "cells": cells,
    }


def _shortened(name: str) -> str:
    return name if len(name) <= LABEL_CHARACTERS else name[: LABEL_CHARACTERS - 1] + "…"


def frequent_confusions(scores: Scores) -> list[dict[str, Any]]:
    """Return the largest counts off the diagonal: true class, predicted class, count, share of the true class."""
    matrix = scores.confusion
    pairs = [
        (int(matrix[truth, predicted]), truth, predicted)
        for truth in range(len(matrix))
        for predicted in range(len(matrix))
        if truth != predicted and matrix[truth, predicted]
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        {
            "truth": scores.per_class[truth].name,
            "predicted": scores.per_class[predicted].name,
            "count": count,
            "share": count / int(matrix[truth].sum()),
        }
        for count, truth, predicted in pairs[:CONFUSIONS_SHOWN]
    ]


def interval_chart(found: Comparison) -> dict[str, Any]:
    """Return x coordinates, in a width of INTERVAL_WIDTH, of the difference, its interval and 0, the middle."""
    low, high = found.interval
    reach = 1.15 * max(abs(low), abs(high), abs(found.difference), 0.01)

    def x(value: float) -> float:
        return round((value / reach + 1) / 2 * INTERVAL_WIDTH, 1)

    return {
        "width": INTERVAL_WIDTH,
        "zero": x(0),
        "low": x(low),
        "high": x(high),
        "difference": x(found.difference),
        "ends": [(0, -reach), (INTERVAL_WIDTH, reach)],
    }
