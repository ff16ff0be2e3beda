"""Trials step: writes the trials of a tuning job, which only the service's API shows, where later steps can read."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SCHEMA_VERSION = 1
FILE = "trials.json"

_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": 10})
_PAGE_SIZE = 100  # the most that the service gives
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^/].*)")


def handler(event: dict[str, Any], _context: object) -> dict[str, str | float | int]:
    """Writes trials.json for `event["tuning_job_name"]` below `event["output_uri"]` (`s3://bucket/prefix`).

    trials.json: schema_version, tuning_job, strategy, objective {name, type}, best (a training job's name) and
    trials, in order of creation, each with name, status, value of the objective (null where there is none), seconds
    of training (null where it did not both start and end) and the tuned hyperparameters as text.

    Returns `trials_uri` (the prefix with a slash at its end), `best_training_job`, `best_value` and `count`. Raises
    ValueError with one line where the URI is malformed, the tuning job does not exist, or no trial succeeded: the
    text becomes the step's failure reason.
    """
    name, uri = str(event.get("tuning_job_name", "")), str(event.get("output_uri", ""))
    bucket, prefix = _parse(uri)
    client = boto3.client("sagemaker", config=_CONFIG)
    job = _described(client, name)
    trials = _trials(client, name)
    best_name, best_value = _best(job, trials, name)
    config = job["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    content = {
        "schema_version": SCHEMA_VERSION,
        "tuning_job": name,
        "strategy": config["Strategy"],
        "objective": {"name": objective["MetricName"], "type": objective["Type"]},
        "best": best_name,
        "trials": trials,
    }
    body = json.dumps(content, indent=1, allow_nan=False) + "\n"
    boto3.client("s3", config=_CONFIG).put_object(Bucket=bucket, Key=f"{prefix}{FILE}", Body=body.encode())
    result: dict[str, str | float | int] = {
        "trials_uri": f"s3://{bucket}/{prefix}",
        "best_training_job": best_name,
        "best_value": best_value,
        "count": len(trials),
    }
    print(json.dumps({"level": "INFO", "message": "trials listed", "tuning_job_name": name, **result}, sort_keys=True))
    return result


def _parse(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"output {uri!r} is no S3 folder: write it as s3://bucket/prefix")
    return match.group(1), match.group(2).rstrip("/") + "/"


def _described(client: Any, name: str) -> dict[str, Any]:
    try:
        description: dict[str, Any] = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFound":
            raise
        raise ValueError(f"tuning job {name} does not exist: run the pipeline from its Tune step again") from error
    return description


def _trials(client: Any, name: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name,
        SortBy="CreationTime",
        SortOrder="Ascending",
        PaginationConfig={"PageSize": _PAGE_SIZE},
    )
    summaries = [summary for page in pages for summary in page["TrainingJobSummaries"]]
    # Jobs of one batch may share their second of creation; the name settles the order.
    return [_trial(item) for item in sorted(summaries, key=lambda job: (job["CreationTime"], job["TrainingJobName"]))]


def _trial(summary: dict[str, Any]) -> dict[str, Any]:
    start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return {
        "name": summary["TrainingJobName"],
        "status": summary["TrainingJobStatus"],
        "value": _value(summary),
        "seconds": (end - start).total_seconds() if start and end else None,
        "hyperparameters": dict(sorted(summary["TunedHyperParameters"].items())),
    }


def _value(summary: dict[str, Any]) -> float | None:
    """The objective's value; None where the job published none, or one that is no number."""
    value = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    return float(value) if value is not None and math.isfinite(value) else None


def _best(job: dict[str, Any], trials: list[dict[str, Any]], name: str) -> tuple[str, float]:
    """Name and value of the best trial. Not the overall best, which may be a parent's and has no artifact here."""
    best = job.get("BestTrainingJob", {})
    value = _value(best)
    if value is None:
        statuses = sorted({trial["status"] for trial in trials})
        raise ValueError(
            f"tuning job {name} has no best trial: none of its {len(trials)} published the objective "
            f"({', '.join(statuses) or 'none was started'}); see the logs of its training jobs in "
            "/aws/sagemaker/TrainingJobs, and widen or correct the ranges"
        )
    return best["TrainingJobName"], value
