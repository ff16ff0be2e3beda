"""Chooses what a run of the monitor reads: the captures of its hours, the live version's baseline, labels, history."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config

SCHEMA_VERSION = 1
VARIANT = "AllTraffic"
# Files of an hour arrive until some minutes after it.
ARRIVAL = timedelta(minutes=15)
# Labels come late and history goes back: so many of the newest files are enough.
MOST_GROUND_TRUTH = 1000
MOST_HISTORY = 60
BASELINE_FILES = ("baseline.json", "evaluation.json")
SERVED_FILES = ("model.json",)
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_JOB_NAME_LIMIT = 63

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5})


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Writes the manifests of a window's inputs; `event["time"]` (ISO 8601) is when the run began.

    The window is the last `EVERY_HOURS` whole hours, or those before `event["input"]["end"]`. Only captures since the
    live version was deployed count, or since `event["input"]["since"]`; both are ISO 8601. Returns
    `captured` (files; 0: nothing else is returned but `reason`), `job_name`, `start`, `end`, `since`, `version`,
    `output_uri`, and the manifests `capture`, `baseline`, `ground_truth` and `history`, none of them empty: each names
    window.json too. Raises ValueError where a setting or the live version's file is malformed.
    """
    s3, bucket, endpoint = (
        boto3.client("s3", config=_CONFIG),
        os.environ["ARTIFACT_BUCKET"],
        os.environ["ENDPOINT_NAME"],
    )
    wished = event.get("input") or {}
    end = _hour(_moment(wished["end"]) if wished.get("end") else _moment(event["time"]) - ARRIVAL)
    start = end - timedelta(hours=int(os.environ["EVERY_HOURS"]))
    live = _live(s3, bucket, endpoint)
    if live is None:
        return _nothing(f"endpoint {endpoint} has no live version: approve one first")
    content, deployed = live
    if wished.get("since"):
        deployed = _moment(wished["since"])
    first = max(start, _hour(deployed))
    captures = [key for hour in _hours(first, end) for key in _keys(s3, bucket, _prefix(endpoint, hour))]
    if not captures:
        return _nothing(f"endpoint {endpoint} has no captured requests from {start:{_TIME}} to {end:{_TIME}}")
    window = {
        "schema_version": SCHEMA_VERSION,
        "endpoint_name": endpoint,
        "version": str(content["version"]),
        "start": format(start, _TIME),
        "end": format(end, _TIME),
        "since": format(deployed, _TIME) if deployed > start else "none",
    }
    output = f"monitor/{endpoint}/{end:%Y-%m-%dT%H}"
    inputs = {
        "capture": captures,
        "baseline": _baseline_files(s3, bucket, content["metadata"]),
        "ground_truth": _newest(s3, bucket, "ground-truth/", MOST_GROUND_TRUTH),
        "history": _history(s3, bucket, endpoint, output),
    }
    return {
        "captured": len(captures),
        "job_name": _job_name(_moment(event["time"])),
        **{name: window[name] for name in ("version", "start", "end", "since")},
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
    return content, answer["LastModified"].astimezone(timezone.utc)


def _hours(first: datetime, end: datetime) -> list[datetime]:
    count = max(0, int((end - first) / timedelta(hours=1)))
    return [first + timedelta(hours=number) for number in range(count)]


def _prefix(endpoint: str, hour: datetime) -> str:
    return f"capture/{endpoint}/{VARIANT}/{hour:%Y/%m/%d/%H}/"


def _objects(s3: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", []) if item["Size"]]


def _keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    return [item["Key"] for item in _objects(s3, bucket, prefix)]


def _newest(s3: Any, bucket: str, prefix: str, most: int) -> list[str]:
    found = sorted(_objects(s3, bucket, prefix), key=lambda item: (item["LastModified"], item["Key"]))
    return [item["Key"] for item in found[-most:]]


def _history(s3: Any, bucket: str, endpoint: str, output: str) -> list[str]:
    """Earlier results, by the end of their windows, which is in the key; not that of this window."""
    keys = _keys(s3, bucket, f"monitor/{endpoint}/")
    found = [key for key in keys if key.endswith("/monitor.json") and not key.startswith(f"{output}/")]
    return sorted(found)[-MOST_HISTORY:]


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
