"""report.html: one self-contained page about a test run; no script, no request."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common.dataset import Dataset
from evaluate import charts
from evaluate.metrics import BINARY, ClassScore, Scores
from evaluate.mistakes import Mistake
from evaluate.predict import Predictions

TEMPLATES = Path(__file__).parent / "templates"
NOT_DEFINED = "n/a"


def render(predictions: Predictions, scores: Scores, mistakes: list[Mistake], dataset: Dataset) -> str:
    """Return the page; every name from the data is escaped, and equal inputs give an equal page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "number": _number, "thousands": _thousands}
    many = len(scores.per_class) > charts.TABLE_CLASSES
    return environment.get_template("report.html.j2").render(
        dataset=dataset,
        scores=scores,
        values=scores.values,
        records=len(predictions.labels),
        correct=int(scores.confusion.trace()),
        binary=len(scores.per_class) == BINARY,
        worst=min((entry for entry in scores.per_class if entry.support), key=_recall),
        per_class=sorted(scores.per_class, key=_by_f1),
        names=[entry.name for entry in scores.per_class],
        matrix=None if many else charts.confusion_cells(scores),
        heatmap=charts.heatmap(scores) if many else None,
        confusions=charts.frequent_confusions(scores),
        roc=charts.roc_lines(predictions, scores),
        roc_side=charts.ROC_SIDE,
        mistakes=mistakes,
    )


def _recall(entry: ClassScore) -> float:
    return entry.recall or 0.0


def _by_f1(entry: ClassScore) -> tuple[bool, float]:
    """Order classes by rising F1, those that do not occur last."""
    return entry.f1 is None, entry.f1 or 0.0


def _percent(value: float | None, digits: int = 1) -> str:
    """Format a share as a percentage; only a whole 1 is ever shown as 100 %."""
    if value is None:
        return NOT_DEFINED
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:  # noqa: PLR2004
        return f"> {100 - 10**-digits:.{digits}f}%"
    return f"{text}%"


def _number(value: float | None, digits: int = 3) -> str:
    return NOT_DEFINED if value is None else f"{value:.{digits}f}"


def _thousands(value: int) -> str:
    return f"{value:,}"
