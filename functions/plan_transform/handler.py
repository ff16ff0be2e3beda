"""Plan step of the pipeline `transform`: what is to be classified, and by which approved version of the model."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

FORM = "s3://bucket/prefix"
LATEST_APPROVED = "latest-approved"
# MaxPayloadInMB times MaxConcurrentTransforms: CreateTransformJob in the API reference.
MAX_MB_AT_ONCE = 100
MANIFEST, LISTING, PLAN = "manifest.json", "listing.jsonl", "plan.json"
# Why an object is not given to the model; the words of the serving container for the same.
EMPTY, TOO_LARGE = "empty", "too_large"
# Neither the job's answer, a file of this name and .out, nor the service leaves such a key as it is.
UNUSABLE_KEY = "unusable_key"
_LONGEST_COMPONENT = 251  # bytes: a file's name has 255 at most, of which .out needs 4

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})
_PAGE_SIZE = 100  # the most that the service gives
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^/].*)")
_BYTES_PER_MB = 10**6  # the smaller of the two meanings: what is let through here is taken there
_REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "this pipeline may not list it; put the images below datasets/ in the environment's data bucket",
    "AllAccessDisabled": "access to the bucket is disabled",
    "PermanentRedirect": "the bucket lies in another region; use one in the region of the pipeline",
}


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The written files' directory, and what they say in short."""

    directory: Path
    content_hash: str
    objects: int
    skipped: int


def handler(event: dict[str, Any], _context: object) -> dict[str, str | int]:
    """Lists `event["input_data_uri"]` (`s3://bucket/prefix`, any depth) and finds `event["model_version"]`.

    The version is "latest-approved" or a number as text. Environment: MODEL_PACKAGE_GROUP_NAME. Writes to
    `event["output_uri"]`

    - `manifest.json`, the manifest of S3DataSource: the objects that the model is given, which are those of 1 byte up
      to `event["max_payload_mb"]` MB whose keys are usable as paths;
    - `plan/listing.jsonl`, a line for every object: `key` relative to the input, `size` in bytes, and `skipped`, null
      or why the model is not given it;
    - `plan/plan.json`: `schema_version`, `input_uri`, `listing_hash` (64 hex digits over relative key, ETag and size of
      every object), `model_version` and `model_package_arn`.

    Returns `manifest_uri`, `plan_uri` (the prefix), `listing_hash`, `object_count`, `skipped_count`, `model_version`,
    `model_package_arn`, `model_facts_uri` (model.json) and `labels_uri`.

    Raises ValueError with one line where the input cannot be listed or holds nothing that can be classified, where
    the version is unknown, not approved, or without a served model, and where images at a time are too many: the text
    becomes the step's failure reason.
    """
    uri, most = str(event.get("input_data_uri", "")), int(event["max_payload_mb"])
    _check_memory(int(event["max_concurrent_transforms"]), most)
    bucket, prefix = _parse(uri)
    package = _find(str(event.get("model_version", LATEST_APPROVED)))
    with tempfile.TemporaryDirectory() as folder:
        listing = _write_listing(Path(folder), uri, bucket, prefix, most * _BYTES_PER_MB)
        plan = {
            "schema_version": 1,
            "input_uri": f"s3://{bucket}/{prefix}",
            "listing_hash": listing.content_hash,
            "model_version": str(package["ModelPackageVersion"]),
            "model_package_arn": package["ModelPackageArn"],
        }
        (listing.directory / PLAN).write_text(json.dumps(plan) + "\n", encoding="utf-8")
        result = plan | _upload(listing.directory, str(event["output_uri"]))
    del result["schema_version"], result["input_uri"]
    result |= {"object_count": listing.objects, "skipped_count": listing.skipped}
    result |= {
        "model_facts_uri": _facts_uri(package),
        "labels_uri": package["CustomerMetadataProperties"]["labels_uri"],
    }
    print(json.dumps({"level": "INFO", "message": "planned", "input_data_uri": uri, **result}, sort_keys=True))
    return result


def _check_memory(at_once: int, megabytes: int) -> None:
    if at_once < 1 or at_once * megabytes > MAX_MB_AT_ONCE:
        raise ValueError(
            f"MaxConcurrentTransforms {at_once} is out of range, it must be from 1 to {MAX_MB_AT_ONCE // megabytes}: "
            f"images may have {megabytes} MB, and the service takes {MAX_MB_AT_ONCE} MB at a time"
        )


def _parse(uri: str) -> tuple[str, str]:
    """Bucket and prefix; the prefix ends in a slash, so that `cats` does not take `cats-old/` too."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"input {uri!r} is no S3 folder: write it as {FORM}")
    return match.group(1), match.group(2).rstrip("/") + "/"


def _write_listing(folder: Path, uri: str, bucket: str, prefix: str, most: int) -> _Listing:
    """Writes manifest and listing as the objects come, so that a million of them need no memory."""
    digest, objects, skipped = hashlib.sha256(), 0, 0
    with (folder / MANIFEST).open("w", encoding="utf-8") as manifest, (folder / LISTING).open("w") as listing:
        manifest.write("[" + json.dumps({"prefix": f"s3://{bucket}/{prefix}"}))
        for key, etag, size in _objects(uri, bucket, prefix):
            digest.update(json.dumps([key, etag, size]).encode())  # S3 lists in the order of the keys
            objects += 1
            reason = _why_not(key, size, most)
            listing.write(json.dumps({"key": key, "size": size, "skipped": reason}) + "\n")
            if reason:
                skipped += 1
            else:
                manifest.write(",\n" + json.dumps(key))
        manifest.write("]\n")
    if objects == skipped:
        what = (
            f"nothing but {skipped} objects that are empty, too large, or have unusable keys"
            if objects
            else "no object"
        )
        raise ValueError(
            f"input {uri} holds {what}: upload images of up to {most // _BYTES_PER_MB} MB there, or name another prefix"
        )
    return _Listing(directory=folder, content_hash=digest.hexdigest(), objects=objects, skipped=skipped)


def _why_not(key: str, size: int, most: int) -> str | None:
    """Why the model is not given an object, or None."""
    if size == 0:
        return EMPTY
    if size > most:
        return TOO_LARGE
    unusable = (part in ("", ".", "..") or len(part.encode()) > _LONGEST_COMPONENT for part in key.split("/"))
    return UNUSABLE_KEY if any(unusable) else None


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


def _upload(folder: Path, output_uri: str) -> dict[str, str]:
    bucket, prefix = _parse(output_uri)
    client = boto3.client("s3", config=_CONFIG)
    client.upload_file(str(folder / MANIFEST), bucket, f"{prefix}{MANIFEST}")
    for name in (LISTING, PLAN):
        client.upload_file(str(folder / name), bucket, f"{prefix}plan/{name}")
    return {"manifest_uri": f"s3://{bucket}/{prefix}{MANIFEST}", "plan_uri": f"s3://{bucket}/{prefix}plan/"}


def _find(asked: str) -> dict[str, Any]:
    """The description of an approved version that has a served model."""
    group, client = os.environ["MODEL_PACKAGE_GROUP_NAME"], boto3.client("sagemaker", config=_CONFIG)
    if asked != LATEST_APPROVED and not re.fullmatch(r"[1-9][0-9]*", asked):
        raise ValueError(f"model version {asked!r} is no version of {group}: give its number, or {LATEST_APPROVED}")
    versions = _versions(client, group)
    approved = [number for number, (_, status) in versions.items() if status == "Approved"]
    if asked == LATEST_APPROVED:
        if not approved:
            raise ValueError(f"model version {LATEST_APPROVED}: no version of {group} is approved: approve one first")
        number = max(approved)
    else:
        number = int(asked)
        if number not in versions:
            raise ValueError(f"{group} has no version {number}: give one of {_listed(versions)}, or {LATEST_APPROVED}")
        if number not in approved:
            status = versions[number][1]
            raise ValueError(f"version {number} of {group} is {status}: approve it first, or give {_listed(approved)}")
    package: dict[str, Any] = client.describe_model_package(ModelPackageName=versions[number][0])
    if "served_model_sha256" not in package.get("CustomerMetadataProperties", {}):
        raise ValueError(
            f"version {number} of {group} has no served model (customer metadata served_model_sha256), as one that was "
            "registered by hand or by an earlier release: train it again, or give another ModelVersion"
        )
    return package


def _versions(client: Any, group: str) -> dict[int, tuple[str, str]]:
    """ARN and approval status of every completed version, by number."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, PaginationConfig={"PageSize": _PAGE_SIZE}
    )
    return {
        int(item["ModelPackageVersion"]): (item["ModelPackageArn"], item["ModelApprovalStatus"])
        for page in pages
        for item in page["ModelPackageSummaryList"]
        if item["ModelPackageStatus"] == "Completed"
    }


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none, for none is approved"


def _facts_uri(package: dict[str, Any]) -> str:
    """model.json, which lies beside the served model.tar.gz."""
    [container] = package["InferenceSpecification"]["Containers"]
    return str(container["ModelDataUrl"]).rsplit("/", 1)[0] + "/model.json"
