"""Moves files between directories and S3 through a boto3 client, as SageMaker does around a container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.errors import LocalRunError


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of an s3:// URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise LocalRunError(f"{uri} is not an S3 URI: it must look like s3://bucket/prefix")
    return bucket, key


def list_keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """All keys that begin with `prefix`, as S3 compares them, which knows no folders."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", []))


def download(s3: Any, uri: str, directory: Path) -> int:
    """Brings an object or all objects of a prefix below `directory` and returns how many.

    Raises LocalRunError where there is none, as a SageMaker job fails for an empty input.
    """
    bucket, prefix = split_uri(uri)
    count = 0
    for key in list_keys(s3, bucket, prefix):
        if key.endswith("/"):
            continue
        relative = key[len(prefix) :].lstrip("/") or key.rsplit("/", 1)[-1]
        path = directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        count += 1
    if not count:
        raise LocalRunError(f"{uri} holds no object: a job's input must not be empty")
    return count


def upload(s3: Any, directory: Path, uri: str) -> int:
    """Stores every file below `directory` under `uri` and returns how many."""
    bucket, prefix = split_uri(uri)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in files:
        key = f"{prefix.rstrip('/')}/{path.relative_to(directory).as_posix()}"
        with path.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body.read())
    return len(files)


def read_text(s3: Any, uri: str) -> str:
    """The text of one object."""
    bucket, key = split_uri(uri)
    try:
        return str(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except s3.exceptions.NoSuchKey as error:
        raise LocalRunError(f"{uri} does not exist: the step that should have written it did not") from error
