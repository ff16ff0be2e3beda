"""The live version: what its deployment wrote, and the files that the monitor compares with."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from .artifacts import Artifacts
from .moments import moment

BASELINE_FILES = ("baseline.json", "evaluation.json")
SERVED_FILES = ("model.json",)


def live_version(artifacts: Artifacts) -> tuple[dict[str, Any], datetime] | None:
    """What the deployment wrote about the live version, and when; None where nothing was deployed yet.

    Raises ValueError where the file is malformed.
    """
    key = f"serving/{artifacts.endpoint}/live.json"
    # By a listing first, for S3 hides a missing object from who may only read.
    if key not in artifacts.keys(key):
        return None
    answer = artifacts.s3.get_object(Bucket=artifacts.bucket, Key=key)
    try:
        content = json.loads(answer["Body"].read())
        if "version" not in content or "baseline_uri" not in content["metadata"]:
            raise KeyError("version or metadata.baseline_uri")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{artifacts.uri(key)} is malformed ({error!r}): deploy the version again") from error
    # A deployment that changed nothing writes the file anew; only versions of before this field leave it out.
    deployed = content.get("deployed_at")
    return content, moment(deployed) if deployed else answer["LastModified"].astimezone(timezone.utc)


def baseline_files(artifacts: Artifacts, metadata: dict[str, str]) -> list[str]:
    """Keys of the version's baseline and scores, and of what its served model says of itself; a model is not read.

    Raises ValueError where the baseline lies in another bucket, or nowhere.
    """
    package = _key(metadata["baseline_uri"], artifacts.uri("")).rpartition("/")[0]
    served = f"{package.rpartition('/')[0]}/serving"
    wanted = [f"{package}/{name}" for name in BASELINE_FILES] + [f"{served}/{name}" for name in SERVED_FILES]
    there = {*artifacts.keys(f"{package}/"), *artifacts.keys(f"{served}/")}
    if wanted[0] not in there:
        raise ValueError(f"{artifacts.uri(wanted[0])} does not exist: deploy a version that has its baseline")
    return [key for key in wanted if key in there]


def _key(uri: str, start: str) -> str:
    if not uri.startswith(start):
        raise ValueError(f"baseline {uri} lies outside of {start}: register the version in this environment")
    return uri.removeprefix(start)
