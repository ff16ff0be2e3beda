"""report.html: one self-contained page about a test run; no script, no request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from evaluate import charts, line_charts, trial_charts
from evaluate.champion import Champion
from evaluate.findings import Findings
from evaluate.metrics import BINARY, ClassScore, Scores
from evaluate.mistakes import Mistake
from evaluate.multi_label import LabelScore, LabelScores
from evaluate.thresholds import SMALLEST_SUPPORT
from evaluate.trials import Trials

TEMPLATES = Path(__file__).parent / "templates"
NOT_DEFINED = "n/a"
SHORT_CHARACTERS = 7
TRIALS_SHOWN = 100
MINUS = "\N{MINUS SIGN}"


def render(findings: Findings, mistakes: list[Mistake]) -> str:
    """Return the page; every name from the data is escaped, and equal inputs give an equal page."""
    scores = findings.scores
    return template("report.html.j2").render(
        dataset=findings.dataset,
        scores=scores,
        values=findings.metrics,
        records=len(findings.predictions.labels),
        correct=int(findings.predictions.correct.sum()),
        share_correct=float(findings.predictions.correct.mean()),
        multi_label=findings.predictions.multi_label,
        worst=min((entry for entry in scores.per_class if entry.support), key=_recall, default=None),
        per_class=sorted(scores.per_class, key=_by_f1),
        names=[entry.name for entry in scores.per_class],
        mistakes=mistakes,
        calibration=findings.calibration,
        reliability=line_charts.reliability(findings.calibration),
        thresholds=findings.thresholds,
        smallest_support=SMALLEST_SUPPORT,
        **({} if isinstance(scores, LabelScores) else _one_class(findings, scores)),
        **_champion(findings),
        **_training(findings),
        **_trials(findings.trials),
    )


def template(name: str) -> Template:
    """Return a template by its path below templates/; it escapes every name, and a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "number": _number,
        "thousands": _thousands,
        "points": _points,
        "chance": _chance,
        "duration": _duration,
        "short": _short,
    }
    return environment.get_template(name)


def _one_class(findings: Findings, scores: Scores) -> dict[str, Any]:
    many = len(scores.per_class) > charts.TABLE_CLASSES
    return {
        "binary": len(scores.per_class) == BINARY,
        "matrix": None if many else charts.confusion_cells(scores),
        "heatmap": charts.heatmap(scores) if many else None,
        "confusions": charts.frequent_confusions(scores),
        "roc": charts.roc_lines(findings.predictions, scores),
        "roc_side": charts.ROC_SIDE,
    }


def _champion(findings: Findings) -> dict[str, Any]:
    champion = findings.champion
    return {
        "champion": champion,
        "verdict": _verdict(champion),
        "challenger_accuracy": float(findings.predictions.correct.mean()),
        "interval": charts.interval_chart(champion.comparison) if champion.comparison else None,
    }


def _verdict(champion: Champion) -> str:
    """Return who wins in one word: none, same, better, worse, or open where it could be noise."""
    found = champion.comparison
    if found is None:
        return "none"
    if not found.only_champion_right and not found.only_challenger_right:
        return "same"
    low, high = found.interval
    return "better" if low > 0 else "worse" if high < 0 else "open"


def _training(findings: Findings) -> dict[str, Any]:
    record = findings.training
    if record is None:
        return {"training": None}
    seconds = sum(entry.seconds for entry in record.epochs)
    images = sum(entry.seconds * entry.images_per_second for entry in record.epochs)
    waited = sum(entry.seconds * entry.data_wait_fraction for entry in record.epochs)
    return {
        "training": record,
        "training_charts": line_charts.training_charts(record),
        "chart_width": line_charts.WIDTH,
        "chart_height": line_charts.HEIGHT,
        "training_seconds": seconds,
        "images_per_second": images / seconds if seconds else None,
        "wait_share": waited / seconds if seconds else None,
        "best": next(entry for entry in record.epochs if entry.epoch == record.best_epoch),
    }


def _trials(trials: Trials | None) -> dict[str, Any]:
    if trials is None:
        return {"trials": None}
    return {
        "trials": trials,
        "trials_shown": trials.trials[:TRIALS_SHOWN],
        "trial_columns": trial_charts.columns(trials),
        "parallel": trial_charts.parallel(trials),
        "parallel_height": trial_charts.HEIGHT,
        "importance": trial_charts.importance(trials),
    }


def _recall(entry: ClassScore | LabelScore) -> float:
    return entry.recall or 0.0


def _by_f1(entry: ClassScore | LabelScore) -> tuple[bool, float]:
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


def _points(value: float) -> str:
    """Format a difference of shares as percentage points with a sign."""
    text = f"{100 * abs(value):.1f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else MINUS
    return f"{sign}{text}"


def _chance(value: float) -> str:
    """Format a p-value."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004


def _short(text: str) -> str:
    """Round a hyperparameter that is a long number to four digits that count; leave any other text as it is."""
    try:
        return f"{float(text):.4g}" if len(text) > SHORT_CHARACTERS else text
    except ValueError:
        return text


def _number(value: float | None, digits: int = 3) -> str:
    return NOT_DEFINED if value is None else f"{value:.{digits}f}"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _duration(seconds: float | None) -> str:
    """Format seconds as the two largest of hours, minutes and seconds."""
    if seconds is None:
        return NOT_DEFINED
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
