"""Serialize: reads an image of S3, checks it, shrinks it to the model's input and puts that beside the artifacts."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field

from .image import InvalidImage, Payload, serialise
from .request import ImageRequest, InvalidRequest, read_request

MAX_OBJECT_BYTES: Final = 64 * 1024 * 1024
# Where no model is live yet, or none that says what it reads.
DEFAULT_SHORT_SIDE: Final = 1024
SUFFIXES: Final = {"image/jpeg": "jpg", "image/png": "png"}

SERVER_ERROR: Final = 500

_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 4})
_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "InvalidArgument"})
_FORBIDDEN: Final = frozenset({"AccessDenied", "403", "AllAccessDisabled", "MethodNotAllowed", "InvalidObjectState"})

_BUSY: Final = frozenset({"RequestTimeout", "SlowDown", "Throttling", "OperationAborted"})

logger = Logger()
tracer = Tracer(patch_modules=("botocore",))  # all modules that X-Ray knows would take half a second to patch
metrics = Metrics(namespace="imgpipe")


class StorageUnavailable(Exception):
    """S3 did not answer; the next try may succeed."""


class Environment(BaseModel):
    """The function's environment variables."""

    model_config = ConfigDict(frozen=True)

    artifact_bucket: str = Field(alias="ARTIFACT_BUCKET", min_length=3)
    endpoint_name: str = Field(alias="ENDPOINT_NAME", min_length=1)
    max_payload_bytes: int = Field(alias="MAX_PAYLOAD_BYTES", gt=0)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers with where the payload lies and by what name the image is known from here on.

    `event` is {"s3_bucket", "s3_key"[, "s3_version_id"]}, EventBridge's "Object Created" or an S3 notification. The
    answer: `id` (SHA-256 of bucket, key and version, or the ETag where the bucket keeps none), `image` (bucket, key,
    version or ETag, size in bytes) and `payload` (bucket, key, content type). InvalidRequest and InvalidImage, each
    with one line, are for good; StorageUnavailable is worth another try.
    """
    request = read_request(event)
    uri = f"s3://{request.s3_bucket}/{request.s3_key}"
    logger.append_keys(image=uri)
    environment = Environment.model_validate(dict(os.environ))
    try:
        data, image = _read(request, uri)
        payload = serialise(data, short_side=_short_side(environment), max_bytes=environment.max_payload_bytes)
        place = _store(payload, image, environment.artifact_bucket)
    except InvalidImage as error:
        metrics.add_metric(name="ImagesRefused", unit="Count", value=1)
        logger.warning("image refused", extra={"reason": str(error)})
        raise InvalidImage(f"{uri}: {error}") from None
    except (BotoCoreError, ClientError) as error:
        if _is_final(error):
            raise
        raise StorageUnavailable(f"{uri}: {error}") from error
    metrics.add_metric(name="ImagesSerialized", unit="Count", value=1)
    metrics.add_metric(name="PayloadBytes", unit="Bytes", value=len(payload.body))
    logger.info("image serialized", extra={"bytes": len(data), "payload_bytes": len(payload.body)})
    return {"id": image.pop("id"), "image": image, "payload": place}


def _read(request: ImageRequest, uri: str) -> tuple[bytes, dict[str, Any]]:
    """The object, and how its version is told from others."""
    version = {"VersionId": request.s3_version_id} if request.s3_version_id else {}
    try:
        answer = _s3().get_object(Bucket=request.s3_bucket, Key=request.s3_key, **version)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _ABSENT:
            raise InvalidRequest(f"{uri} does not exist ({code}): name an object that does") from error
        if code in _FORBIDDEN:
            # S3 hides a missing object from who may not list.
            raise InvalidRequest(
                f"{uri} does not exist or may not be read ({code}): it must lie below the first folder of "
                "pipeline.input_prefix, pipeline.transform.input_prefix or classification.inbox_prefix"
            ) from error
        raise
    size = answer["ContentLength"]
    if size > MAX_OBJECT_BYTES:
        answer["Body"].close()
        raise InvalidImage(f"{size} bytes are more than the limit of {MAX_OBJECT_BYTES}: scale it down")
    # A bucket that has never kept versions calls every version null.
    named = answer.get("VersionId", "null")
    known = named if named != "null" else answer["ETag"].strip('"')
    digest = hashlib.sha256(json.dumps([request.s3_bucket, request.s3_key, known]).encode()).hexdigest()
    image = {"id": digest, "bucket": request.s3_bucket, "key": request.s3_key, "version": known, "bytes": size}
    return answer["Body"].read(), image


def _is_final(error: BotoCoreError | ClientError) -> bool:
    """Whether S3 answered, and by that refused for good: a permission that lacks, a bucket that is gone."""
    return (
        isinstance(error, ClientError)
        and error.response["ResponseMetadata"].get("HTTPStatusCode", SERVER_ERROR) < SERVER_ERROR
        and error.response["Error"]["Code"] not in _BUSY
    )


def _short_side(environment: Environment) -> int:
    """Pixels of the shorter side that the live model scales images to."""
    key = f"serving/{environment.endpoint_name}/live.json"
    # By a listing first, for S3 hides a missing object from who may only read.
    listed = _s3().list_objects_v2(Bucket=environment.artifact_bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    if not any(item["Key"] == key for item in listed):
        return DEFAULT_SHORT_SIDE
    live = json.loads(_s3().get_object(Bucket=environment.artifact_bucket, Key=key)["Body"].read())
    told = str(live.get("metadata", {}).get("resize", ""))
    return int(told) if told.isdecimal() and int(told) > 0 else DEFAULT_SHORT_SIDE


def _store(payload: Payload, image: dict[str, Any], bucket: str) -> dict[str, str]:
    suffix = SUFFIXES.get(payload.content_type, "image")
    key = f"classify/{image['id']}.{suffix}"
    _s3().put_object(Bucket=bucket, Key=key, Body=payload.body, ContentType=payload.content_type)
    return {"bucket": bucket, "key": key, "content_type": payload.content_type}


@functools.cache
def _s3() -> Any:
    return boto3.client("s3", config=_CONFIG)
