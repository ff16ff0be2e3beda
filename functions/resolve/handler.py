"""Resolve step: turns the state of S3 and of the model registry into values that later steps and caching can see."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

FORM = "s3://bucket/prefix"
LATEST_APPROVED = "latest-approved"
NONE = "none"

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})
_PAGE_SIZE = 100  # the most that the service gives
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^/].*)")
_ARTIFACT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^/]+/)*model\.tar\.gz")
# Of a model package's customer metadata.
_METADATA_VALUE = re.compile(r"[\w .:/=+@-]{1,256}")
_ARTIFACT_KEY = "training_artifact_uri"
_MODELS = "models"
_REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "this pipeline may not list it; put the images below datasets/ in the environment's data bucket",
    "AllAccessDisabled": "access to the bucket is disabled",
    "PermanentRedirect": "the bucket lies in another region; use one in the region of the pipeline",
}


@dataclass(frozen=True)
class _Version:
    """An approved version of the model package group, and the artifact it was registered with, if it says so."""

    number: int
    artifact_uri: str | None


def handler(event: dict[str, Any], _context: object) -> dict[str, str | int]:
    """Lists `event["input_data_uri"]` (`s3://bucket/prefix`) and finds the champion, the newest approved version.

    Environment: MODEL_PACKAGE_GROUP_NAME, ARTIFACT_BUCKET. Returns

    - `input_uri` (what was listed: the prefix with its slash, so that a job reads no more than was hashed),
      `listing_hash` (64 hex digits over relative key, ETag and size of every object), `object_count`, `total_bytes`;
    - `champion_version` ("none", or the version's number as text) and `champion_uri`, the prefix of its package, with
      a slash at its end; without a champion a prefix that holds champion.json alone, because a job's input is never
      optional and never empty;
    - with `event["base_model_uri"]`, an S3 URI or "latest-approved": `base_model_uri`, the S3 URI of a model.tar.gz,
      and `base_version` ("none" for a URI that was given).

    Raises ValueError with one line where a URI is malformed or unreadable, where there is no object, or where no
    version can be the base: the text becomes the step's failure reason.
    """
    uri = str(event.get("input_data_uri", ""))
    bucket, prefix = _parse(uri)
    approved = list(_approved_versions(os.environ["MODEL_PACKAGE_GROUP_NAME"]))
    result: dict[str, str | int] = {}
    if "base_model_uri" in event:
        result |= _base(str(event["base_model_uri"]), approved)
    result |= _listed(uri, bucket, prefix)
    result |= _champion(approved)
    print(json.dumps({"level": "INFO", "message": "resolved", "input_data_uri": uri, **result}, sort_keys=True))
    return result


def _listed(uri: str, bucket: str, prefix: str) -> dict[str, str | int]:
    digests: list[bytes] = []
    total_bytes = 0
    for key, etag, size in _objects(uri, bucket, prefix):
        # One digest an object bounds the memory: a million objects are 32 MB, not their names.
        digests.append(hashlib.sha256(json.dumps([key, etag, size]).encode()).digest())
        total_bytes += size
    if not digests:
        raise ValueError(f"input {uri} holds no object: upload class folders of images there, or name another prefix")
    return {
        "input_uri": f"s3://{bucket}/{prefix}",
        "listing_hash": hashlib.sha256(b"".join(sorted(digests))).hexdigest(),
        "object_count": len(digests),
        "total_bytes": total_bytes,
    }


def _parse(uri: str) -> tuple[str, str]:
    """Bucket and prefix; the prefix ends in a slash, so that `cats` does not take `cats-old/` too."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"input {uri!r} is no S3 folder: write it as {FORM}")
    return match.group(1), match.group(2).rstrip("/") + "/"


def _objects(uri: str, bucket: str, prefix: str) -> Iterator[tuple[str, str, int]]:
    """Relative key, ETag and size in bytes of every object; the console's empty folder markers are no objects."""
    client = boto3.client("s3", config=_CONFIG)
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if item["Key"].endswith("/") and item["Size"] == 0:
                    continue
                yield item["Key"].removeprefix(prefix), item["ETag"], item["Size"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _REASONS:
            raise
        raise ValueError(f"input {uri} cannot be listed: {_REASONS[code]}") from error


def _approved_versions(group: str) -> Iterator[_Version]:
    """The group's approved versions, highest number first, down to the first that names its artifact."""
    client = boto3.client("sagemaker", config=_CONFIG)
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"PageSize": _PAGE_SIZE},
    )
    arns = {
        int(summary["ModelPackageVersion"]): summary["ModelPackageArn"]
        for page in pages
        for summary in page["ModelPackageSummaryList"]
        if summary["ModelPackageStatus"] == "Completed"
    }
    for number in sorted(arns, reverse=True):
        description = client.describe_model_package(ModelPackageName=arns[number])
        uri = description.get("CustomerMetadataProperties", {}).get(_ARTIFACT_KEY)
        version = _Version(number, uri if uri is not None and _is_kept(uri) else None)
        yield version
        if version.artifact_uri is not None:
            return


def _is_kept(uri: str) -> bool:
    """Whether an artifact is where the pipelines put what never expires; earlier releases named one that does."""
    place = f"s3://{os.environ['ARTIFACT_BUCKET']}/{_MODELS}/"
    return uri.startswith(place) and _ARTIFACT.fullmatch(uri) is not None and uri.removeprefix(place) != "model.tar.gz"


def _champion(approved: list[_Version]) -> dict[str, str | int]:
    """The newest approved version that a pipeline registered; versions registered by hand have no package to score."""
    champion = next((version for version in approved if version.artifact_uri), None)
    if champion is None:
        return {"champion_version": NONE, "champion_uri": _put_marker()}
    return {"champion_version": str(champion.number), "champion_uri": _parent(str(champion.artifact_uri))}


def _put_marker() -> str:
    """Says "no champion" in S3, the same every time; returns the prefix."""
    bucket, prefix = os.environ["ARTIFACT_BUCKET"], f"{_MODELS}/no-champion/"
    body = json.dumps({"champion": None}) + "\n"
    boto3.client("s3", config=_CONFIG).put_object(Bucket=bucket, Key=f"{prefix}champion.json", Body=body.encode())
    return f"s3://{bucket}/{prefix}"


def _base(asked: str, approved: list[_Version]) -> dict[str, str | int]:
    if asked != LATEST_APPROVED:
        if _ARTIFACT.fullmatch(asked) is None:
            raise ValueError(
                f"base model {asked!r} is no S3 URI of a model.tar.gz: write BaseModelUri as "
                f"s3://bucket/prefix/model.tar.gz, or as {LATEST_APPROVED}"
            )
        if _METADATA_VALUE.fullmatch(asked) is None:  # in the end it is registered with the version
            raise ValueError(
                f"base model {asked!r} cannot be registered as a version's origin: its URI may have 256 characters, "
                "letters, digits, space and _.:/=+-@: copy the model to such a URI"
            )
        return {"base_model_uri": asked, "base_version": NONE}
    group = os.environ["MODEL_PACKAGE_GROUP_NAME"]
    if not approved:
        raise ValueError(
            f"base model {LATEST_APPROVED}: no version of {group} is approved: approve one, or give BaseModelUri"
        )
    newest = approved[0]
    if newest.artifact_uri is None:
        raise ValueError(
            f"base model {LATEST_APPROVED}: version {newest.number} of {group} does not name a training artifact that "
            f"is kept (customer metadata {_ARTIFACT_KEY}), as one that was registered by hand or by an earlier "
            "release: approve another version, or give BaseModelUri"
        )
    return {"base_model_uri": newest.artifact_uri, "base_version": str(newest.number)}


def _parent(uri: str) -> str:
    return uri.rsplit("/", 1)[0] + "/"
