"""Chooses what a run of the monitor reads: the captures of its hours, the live version's baseline, labels, history."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config

from .artifacts import Artifacts
from .live import baseline_files, live_version
from .moments import hour_of, moment, written
from .results import read_results, result_prefix
from .window import NONE, select

SCHEMA_VERSION = 1
# Files of an hour arrive until some minutes after it.
ARRIVAL = timedelta(minutes=15)
# Labels come late: so many of the newest files are enough.
MOST_GROUND_TRUTH = 1000
_JOB_NAME_LIMIT = 63

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5})


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Writes the manifests of a window's inputs; `event["time"]` (ISO 8601) is when the run began.

    The window ends with the last whole hour, or at `event["input"]["end"]`. It begins where the newest window with a
    verdict ends, `EVERY_HOURS` to 7 days before, and later where more does not fit into the job's volume. Only captures
    since the live version was deployed count, or since `event["input"]["since"]`; both are ISO 8601. Returns `captured`
    (files; 0: nothing else is returned but `reason`), `publish` (whether metrics, alarm and the next windows are to
    hear of the result: `event["input"]["publish"]`, else whether no `end` was given), `job_name`, the times that
    `Window` explains, `version`, `model_name`, `output_uri`, `output_prefix`, and the manifests `capture`, `baseline`,
    `ground_truth` and `history`, none of them empty: each names window.json too.
    Raises ValueError where a setting or the live version's file is malformed, and where the captures do not fit into
    the job's volume.
    """
    artifacts = Artifacts(
        s3=boto3.client("s3", config=_CONFIG),
        bucket=os.environ["ARTIFACT_BUCKET"],
        endpoint=os.environ["ENDPOINT_NAME"],
    )
    live = live_version(artifacts)
    if live is None:
        return _nothing(f"endpoint {artifacts.endpoint} has no live version: approve one first")
    return _run(artifacts, *live, began=moment(event["time"]), wished=event.get("input") or {})


def _run(
    artifacts: Artifacts, live: dict[str, Any], deployed: datetime, *, began: datetime, wished: dict[str, Any]
) -> dict[str, Any]:
    end = hour_of(moment(wished["end"]) if wished.get("end") else began - ARRIVAL)
    publish = bool(wished.get("publish", not wished.get("end")))
    results = read_results(artifacts, before=end)
    window = select(artifacts, results, end=end, deployed=moment(wished["since"]) if wished.get("since") else deployed)
    if not window.captures:
        hours = f"from {written(window.start)} to {written(end)}"
        return _nothing(f"endpoint {artifacts.endpoint} has no captured requests {hours}")
    facts = {"version": str(live["version"]), "model_name": str(live.get("model_name", NONE)), **window.texts()}
    output = result_prefix(artifacts.endpoint, end, publish=publish)
    inputs = {
        "capture": window.captures,
        "baseline": baseline_files(artifacts, live["metadata"]),
        "ground_truth": artifacts.newest("ground-truth/", MOST_GROUND_TRUTH),
        "history": results.history(end - timedelta(days=int(os.environ["LABEL_DAYS"]))),
    }
    return {
        "captured": len(window.captures),
        "publish": publish,
        "job_name": _job_name(began),
        **facts,
        "output_uri": artifacts.uri(output),
        "output_prefix": output,
        **_write(artifacts, output, facts, inputs),
    }


def _nothing(reason: str) -> dict[str, Any]:
    print(json.dumps({"level": "INFO", "message": reason}))
    return {"captured": 0, "reason": reason}


def _job_name(time: datetime) -> str:
    name = f"{os.environ['JOB_NAME_PREFIX']}-{time:%Y%m%d-%H%M%S}"
    if len(name) > _JOB_NAME_LIMIT:
        raise ValueError(f"job name {name} is longer than {_JOB_NAME_LIMIT} characters: shorten the project's name")
    return name


def _write(artifacts: Artifacts, output: str, facts: dict[str, str], inputs: dict[str, list[str]]) -> dict[str, str]:
    """Writes window.json and a manifest for each input; returns the manifests' URIs.

    Manifest: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingS3Input.html
    """
    folder = f"{output}/inputs"
    window = {"schema_version": SCHEMA_VERSION, "endpoint_name": artifacts.endpoint, **facts}
    start = [{"prefix": artifacts.uri("")}, f"{folder}/window.json"]
    bodies = {"window.json": window} | {f"{name}.manifest": [*start, *keys] for name, keys in inputs.items()}
    for name, body in bodies.items():
        artifacts.write(f"{folder}/{name}", body)
    return {name: artifacts.uri(f"{folder}/{name}.manifest") for name in inputs}
