"""Chooses what a run of the monitor reads: the captures of its hours, the live version's baseline, labels, history."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config

SCHEMA_VERSION = 1
VARIANT = "AllTraffic"
# Files of an hour arrive until some minutes after it.
ARRIVAL = timedelta(minutes=15)
# Hours that no run has compared are made up for, but not for longer than this.
MOST_HOURS = timedelta(days=7)
# Of the job's volume, which holds logs and results too.
VOLUME_SHARE = 0.8
# Labels come late and history goes back: so many of the newest files are enough.
MOST_GROUND_TRUTH = 1000
MOST_HISTORY = 60
NONE = "none"
BASELINE_FILES = ("baseline.json", "evaluation.json")
SERVED_FILES = ("model.json",)
RESULT, PREDICTIONS = "monitor.json", "predictions.jsonl"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_END = "%Y-%m-%dT%H"  # of a window, in the keys of its results
_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d")
_JOB_NAME_LIMIT = 63

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5})


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Writes the manifests of a window's inputs; `event["time"]` (ISO 8601) is when the run began.

    The window ends with the last whole hour, or at `event["input"]["end"]`. It begins where the newest earlier result
    ends, `EVERY_HOURS` to 7 days before. Only captures since the live version was deployed count, or since
    `event["input"]["since"]`; both are ISO 8601. Returns `captured` (files; 0: nothing else is returned but `reason`),
    `publish` (whether metrics and alarm are to hear of the result: `event["input"]["publish"]`, else whether no `end`
    was given), `job_name`, `start`, `end`, `since`, `version`, `model_name`, `output_uri`, `output_prefix`, and the
    manifests `capture`, `baseline`, `ground_truth` and `history`, none of them empty: each names window.json too.
    Raises ValueError where a setting or the live version's file is malformed, and where the captures do not fit into
    the job's volume.
    """
    s3, bucket, endpoint = (
        boto3.client("s3", config=_CONFIG),
        os.environ["ARTIFACT_BUCKET"],
        os.environ["ENDPOINT_NAME"],
    )
    wished = event.get("input") or {}
    end = _hour(_moment(wished["end"]) if wished.get("end") else _moment(event["time"]) - ARRIVAL)
    results = _results(s3, bucket, endpoint, before=end)
    start = _start(end, results)
    live = _live(s3, bucket, endpoint)
    if live is None:
        return _nothing(f"endpoint {endpoint} has no live version: approve one first")
    content, deployed = live
    if wished.get("since"):
        deployed = _moment(wished["since"])
    first = max(start, _hour(deployed))
    captures = [item for hour in _hours(first, end) for item in _objects(s3, bucket, _prefix(endpoint, hour))]
    if not captures:
        return _nothing(f"endpoint {endpoint} has no captured requests from {start:{_TIME}} to {end:{_TIME}}")
    _check_size(captures)
    window = {
        "schema_version": SCHEMA_VERSION,
        "endpoint_name": endpoint,
        "version": str(content["version"]),
        "model_name": str(content.get("model_name", NONE)),
        "start": format(start, _TIME),
        "end": format(end, _TIME),
        "since": format(deployed, _TIME) if deployed > start else NONE,
    }
    output = _result_prefix(endpoint, end)
    inputs = {
        "capture": [item["Key"] for item in captures],
        "baseline": _baseline_files(s3, bucket, content["metadata"]),
        "ground_truth": _newest(s3, bucket, "ground-truth/", MOST_GROUND_TRUTH),
        "history": _history(results, end),
    }
    return {
        "captured": len(captures),
        "publish": bool(wished.get("publish", not wished.get("end"))),
        "job_name": _job_name(_moment(event["time"])),
        **{name: window[name] for name in ("version", "model_name", "start", "end", "since")},
        "output_uri": f"s3://{bucket}/{output}",
        "output_prefix": output,
        **_write(s3, bucket, output, window, inputs),
    }


def _nothing(reason: str) -> dict[str, Any]:
    print(json.dumps({"level": "INFO", "message": reason}))
    return {"captured": 0, "reason": reason}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(timezone.utc)


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def _live(s3: Any, bucket: str, endpoint: str) -> tuple[dict[str, Any], datetime] | None:
    """What the deployment wrote about the live version, and when; None where nothing was deployed yet."""
    key = f"serving/{endpoint}/live.json"
    # By a listing first, for S3 hides a missing object from who may only read.
    if key not in _keys(s3, bucket, key):
        return None
    answer = s3.get_object(Bucket=bucket, Key=key)
    try:
        content = json.loads(answer["Body"].read())
        if "version" not in content or "baseline_uri" not in content["metadata"]:
            raise KeyError("version or metadata.baseline_uri")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"s3://{bucket}/{key} is malformed ({error!r}): deploy the version again") from error
    # A deployment that changed nothing writes the file anew; only versions of before this field leave it out.
    deployed = content.get("deployed_at")
    return content, _moment(deployed) if deployed else answer["LastModified"].astimezone(timezone.utc)


def _hours(first: datetime, end: datetime) -> list[datetime]:
    count = max(0, int((end - first) / timedelta(hours=1)))
    return [first + timedelta(hours=number) for number in range(count)]


def _prefix(endpoint: str, hour: datetime) -> str:
    return f"capture/{endpoint}/{VARIANT}/{hour:%Y/%m/%d/%H}/"


def _result_prefix(endpoint: str, end: datetime) -> str:
    return f"monitor/{endpoint}/{end:{_END}}"


def _objects(s3: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", []) if item["Size"]]


def _keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    return [item["Key"] for item in _objects(s3, bucket, prefix)]


def _newest(s3: Any, bucket: str, prefix: str, most: int) -> list[str]:
    found = sorted(_objects(s3, bucket, prefix), key=lambda item: (item["LastModified"], item["Key"]))
    return [item["Key"] for item in found[-most:]]


def _results(s3: Any, bucket: str, endpoint: str, *, before: datetime) -> dict[str, list[tuple[datetime, str]]]:
    """Earlier results and predictions with the end of their windows, which is in the key, oldest first."""
    prefix = f"monitor/{endpoint}/"
    found: dict[str, list[tuple[datetime, str]]] = {RESULT: [], PREDICTIONS: []}
    for key in _keys(s3, bucket, prefix):
        hour, _, name = key.removeprefix(prefix).partition("/")
        if name in found and _HOUR.fullmatch(hour) and hour < format(before, _END):
            found[name].append((datetime.strptime(hour, _END).replace(tzinfo=timezone.utc), key))
    return {name: sorted(items) for name, items in found.items()}


def _start(end: datetime, results: dict[str, list[tuple[datetime, str]]]) -> datetime:
    """No hour is left out after runs that failed, and a window is never shorter than the setting."""
    latest = end - timedelta(hours=int(os.environ["EVERY_HOURS"]))
    if not results[RESULT]:
        return latest
    return max(min(latest, results[RESULT][-1][0]), end - MOST_HOURS)


def _history(results: dict[str, list[tuple[datetime, str]]], end: datetime) -> list[str]:
    """The newest results, for charts, and what was predicted in the days whose labels still count."""
    first = end - timedelta(days=int(os.environ["LABEL_DAYS"]))
    newest = [key for _, key in results[RESULT][-MOST_HISTORY:]]
    return newest + [key for time, key in results[PREDICTIONS] if time >= first]


def _check_size(captures: list[dict[str, Any]]) -> None:
    size, volume = sum(item["Size"] for item in captures), int(os.environ["VOLUME_SIZE_GB"])
    if size > VOLUME_SHARE * volume * 10**9:
        raise ValueError(
            f"the captures of this window have {size / 10**9:.1f} GB, too many for a volume of {volume} GB: lower "
            "serving.capture_percent or monitoring.every_hours, or raise monitoring.volume_size_gb"
        )


def _baseline_files(s3: Any, bucket: str, metadata: dict[str, str]) -> list[str]:
    """Baseline and scores of the live version, and what its served model says of itself; a model is not read."""
    package = _key(metadata["baseline_uri"], bucket).rpartition("/")[0]
    served = f"{package.rpartition('/')[0]}/serving"
    wanted = [f"{package}/{name}" for name in BASELINE_FILES] + [f"{served}/{name}" for name in SERVED_FILES]
    there = {*_keys(s3, bucket, f"{package}/"), *_keys(s3, bucket, f"{served}/")}
    if wanted[0] not in there:
        raise ValueError(f"s3://{bucket}/{wanted[0]} does not exist: deploy a version that has its baseline")
    return [key for key in wanted if key in there]


def _key(uri: str, bucket: str) -> str:
    start = f"s3://{bucket}/"
    if not uri.startswith(start):
        raise ValueError(f"baseline {uri} lies outside of {start}: register the version in this environment")
    return uri.removeprefix(start)


def _job_name(time: datetime) -> str:
    name = f"{os.environ['JOB_NAME_PREFIX']}-{time:%Y%m%d-%H%M%S}"
    if len(name) > _JOB_NAME_LIMIT:
        raise ValueError(f"job name {name} is longer than {_JOB_NAME_LIMIT} characters: shorten the project's name")
    return name


def _write(s3: Any, bucket: str, output: str, window: dict[str, Any], inputs: dict[str, list[str]]) -> dict[str, str]:
    """Writes window.json and a manifest for each input; returns the manifests' URIs.

    Manifest: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingS3Input.html
    """
    folder = f"{output}/inputs"
    start = [{"prefix": f"s3://{bucket}/"}, f"{folder}/window.json"]
    bodies = {"window.json": window} | {f"{name}.manifest": [*start, *keys] for name, keys in inputs.items()}
    for name, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=json.dumps(body).encode())
    return {name: f"s3://{bucket}/{folder}/{name}.manifest" for name in inputs}
