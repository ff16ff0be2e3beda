"""The content of monitor.json: the verdict with its scores, and the metrics as CloudWatch takes them."""

from __future__ import annotations

from typing import Any

from common.histogram import rounded
from monitor.findings import DRIFT, TOO_FEW, Findings, wilson_interval

SCHEMA_VERSION = 1
# Score -> name of its metric.
METRICS = {
    "prediction_mix": "PredictionMixPsi",
    "confidence": "ConfidenceDistance",
    "brightness": "BrightnessDistance",
    "contrast": "ContrastDistance",
    "aspect": "AspectDistance",
    "embedding": "EmbeddingDistance",
}


def monitor_json(findings: Findings) -> dict[str, Any]:
    """Return schema 1: no times but the window's, so that equal inputs give equal files."""
    options, summary = findings.options, findings.summary
    return {
        "schema_version": SCHEMA_VERSION,
        "endpoint_name": options.endpoint,
        "model_version": options.version,
        "window": {"start": options.start, "end": options.end, "since": options.since},
        "verdict": findings.verdict,
        "undecided": _undecided(findings),
        "left_out": {"start": findings.window.undecided_since, "end": options.start} if findings.leaves_out else None,
        "drifted": [score.name for score in findings.drifted],
        "drift_score": None if findings.drift_score is None else rounded(findings.drift_score),
        "scores": [score.as_json() for score in findings.scores],
        "accuracy": _accuracy(findings),
        "records": _records(findings),
        "problems": {"counts": findings.problems.counts, "first": findings.problems.places},
        "predictions": summary.predictions if summary else None,
        "images": summary.images if summary else None,
        "metric_data": metric_data(findings),
    }


def _undecided(findings: Findings) -> dict[str, Any] | None:
    if findings.verdict != TOO_FEW:
        return None
    return {
        "missing_images": findings.missing,
        "since": findings.window.undecided_since,
        "hours": rounded(findings.undecided_hours),
    }


def _records(findings: Findings) -> dict[str, int]:
    counts, collection = findings.counts, findings.collection
    return {
        "files": counts.files,
        "lines": counts.lines,
        "earlier_version": counts.earlier,
        "other_model": counts.other_model,
        "smoke_tests": counts.smoke_tests,
        "images": collection.images,
        "new_images": collection.new_images,
        "distinct_images": len(collection.samples),
        "needed": findings.options.min_records,
    }


def _accuracy(findings: Findings) -> dict[str, Any] | None:
    labelled = findings.labelled
    if not labelled.size:
        return None
    low, high = wilson_interval(labelled)
    return {
        "labelled": labelled.size,
        "labelled_in_window": findings.collection.labelled.size,
        "right": labelled.right,
        "live": rounded(labelled.right / labelled.size),
        "interval": [rounded(low), rounded(high)],
        "tested": findings.baseline.accuracy,
    }


def metric_data(findings: Findings) -> list[dict[str, Any]]:
    """Return MetricData of CloudWatch's PutMetricData, of which the alarm watches Drift: 0, 1, or absent if unknown.

    CapturedImages are those that no earlier result has told of, as they are summed up; the others are of the whole
    window. UndecidedHours grows until there is a verdict, which is 0 hours. Without timestamps: CloudWatch takes the
    time at which they are put, and an alarm sees what is recent.
    """
    values: dict[str, tuple[float, str]] = {
        "CapturedImages": (findings.collection.new_images, "Count"),
        "DistinctImages": (len(findings.collection.samples), "Count"),
        "CaptureProblems": (findings.problems.total, "Count"),
        "UndecidedHours": (findings.undecided_hours, "None"),
    }
    if findings.verdict != TOO_FEW:
        values["Drift"] = (float(findings.verdict == DRIFT), "None")
        values["DriftScore"] = (findings.drift_score or 0.0, "None")
    values |= {METRICS[score.name]: (score.value, "None") for score in findings.scores if score.name in METRICS}
    if findings.labelled.size:
        values["LabelledImages"] = (findings.labelled.size, "Count")
        values["LiveAccuracy"] = (100 * findings.labelled.right / findings.labelled.size, "Percent")
    dimensions = [{"Name": "EndpointName", "Value": findings.options.endpoint}]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Value": rounded(value), "Unit": unit}
        for name, (value, unit) in values.items()
    ]
