"""Resolve step: turns the state of the input images in S3 into a hash that step caching can see."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

FORM = "s3://bucket/prefix"
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^/].*)")
_REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "this pipeline may not list it; put the images below datasets/ in the environment's data bucket",
    "AllAccessDisabled": "access to the bucket is disabled",
    "PermanentRedirect": "the bucket lies in another region; use one in the region of the pipeline",
}


def handler(event: dict[str, Any], _context: object) -> dict[str, str | int]:
    """Lists `event["input_data_uri"]` (`s3://bucket/prefix`).

    Returns `input_uri` (what was listed: the prefix with its slash, so that a job reads no more than was hashed),
    `listing_hash` (64 hex digits over relative key, ETag and size of every object), `object_count` and
    `total_bytes`. Raises ValueError with one line where the URI is malformed, unreadable or holds no object: the text
    becomes the step's failure reason.
    """
    uri = str(event.get("input_data_uri", ""))
    bucket, prefix = _parse(uri)
    digests: list[bytes] = []
    total_bytes = 0
    for key, etag, size in _objects(uri, bucket, prefix):
        # One digest an object bounds the memory: a million objects are 32 MB, not their names.
        digests.append(hashlib.sha256(json.dumps([key, etag, size]).encode()).digest())
        total_bytes += size
    if not digests:
        raise ValueError(f"input {uri} holds no object: upload class folders of images there, or name another prefix")
    listing_hash = hashlib.sha256(b"".join(sorted(digests))).hexdigest()
    result: dict[str, str | int] = {
        "input_uri": f"s3://{bucket}/{prefix}",
        "listing_hash": listing_hash,
        "object_count": len(digests),
        "total_bytes": total_bytes,
    }
    print(json.dumps({"level": "INFO", "message": "input listed", "input_data_uri": uri, **result}, sort_keys=True))
    return result


def _parse(uri: str) -> tuple[str, str]:
    """Bucket and prefix; the prefix ends in a slash, so that `cats` does not take `cats-old/` too."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"input {uri!r} is no S3 folder: write it as {FORM}")
    return match.group(1), match.group(2).rstrip("/") + "/"


def _objects(uri: str, bucket: str, prefix: str) -> Iterator[tuple[str, str, int]]:
    """Relative key, ETag and size in bytes of every object; the console's empty folder markers are no objects."""
    client = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))
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
