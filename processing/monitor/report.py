"""monitor.html: one self-contained page about a window; no script, no request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitor import charts
from monitor.baseline import COMPARED_IMAGES
from monitor.findings import Findings, wilson_interval
from monitor.history import Point
from monitor.scores import FALSE_ALARM_RATE

TEMPLATES = Path(__file__).parent / "templates"
MINUS = "\N{MINUS SIGN}"
# Score -> what a reader calls it, and how it is measured.
TITLES = {
    "prediction_mix": "Prediction mix",
    "confidence": "Confidence",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "aspect": "Aspect ratio",
    "embedding": "Colour and layout",
    "accuracy": "Loss of accuracy",
}
MEASURES = {
    "prediction_mix": "population stability index",
    "embedding": "Mahalanobis distance of the means",
    "accuracy": "share of labelled images",
}
DISTRIBUTION = "Kolmogorov-Smirnov distance"


def render(findings: Findings) -> str:
    """Return the page; every name from the data is escaped, and equal inputs give an equal page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "thousands": _thousands,
        "points": _points,
        "time": _time,
        "number": _number,
    }
    collection, classes = findings.collection, findings.baseline.classes
    return environment.get_template("monitor.html.j2").render(
        findings=findings,
        options=findings.options,
        titles=TITLES,
        measures={name: MEASURES.get(name, DISTRIBUTION) for name in TITLES},
        false_alarm_rate=FALSE_ALARM_RATE,
        interval=wilson_interval(findings.labelled) if findings.labelled.size else None,
        least_sure=collection.pictures(collection.least_sure, classes),
        most_unusual=collection.pictures(collection.most_unusual, classes),
        over_time=charts.over_time([*findings.history, _present(findings)], TITLES),
        width=charts.WIDTH,
        height=charts.HEIGHT,
        histogram_height=charts.HISTOGRAM_HEIGHT,
        **_comparison(findings),
    )


def _comparison(findings: Findings) -> dict[str, Any]:
    summary, baseline = findings.summary, findings.baseline
    if summary is None:
        return {"mix": [], "histograms": []}
    blocks = {"confidence": (summary.predictions["confidence"], baseline.confidence)} | {
        name: (summary.images[name], baseline.images[name]) for name in COMPARED_IMAGES
    }
    then = [count / baseline.num_images for count in baseline.predicted.tolist()]
    return {
        "mix": charts.mix(baseline.classes, summary.predictions["shares"], then),
        "histograms": [(TITLES[name], charts.histogram_chart(*pair)) for name, pair in blocks.items()],
    }


def _present(findings: Findings) -> Point:
    labelled = findings.labelled
    return Point(
        end=findings.options.end,
        version=findings.options.version,
        verdict=findings.verdict,
        scores={score.name: (score.value, score.threshold) for score in findings.scores},
        accuracy=labelled.right / labelled.size if labelled.size else None,
    )


def _percent(value: float, digits: int = 1) -> str:
    """Format a share as a percentage; only a whole 1 is ever shown as 100 %."""
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:  # noqa: PLR2004
        return f"> {100 - 10**-digits:.{digits}f}%"
    return f"{text}%"


def _points(value: float) -> str:
    """Format a difference of shares as percentage points with a sign."""
    text = f"{100 * abs(value):.1f}"
    return f"{'' if float(text) == 0 else '+' if value > 0 else MINUS}{text}"


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", MINUS)


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _time(text: str) -> str:
    """Format ISO 8601 in UTC to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC"
