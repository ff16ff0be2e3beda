"""Classify: sends a payload of Serialize to the endpoint; answers with the label, its confidence and the runners-up."""

from __future__ import annotations

import functools
import json
import os
import time
from typing import Annotated, Any, Final

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

RANKED: Final = 5
VERBOSE: Final = "verbose=true"
SERVER_ERROR: Final = 500

# The state machine tries again, over minutes; here a request ends before the function's own time does.
_CONFIG: Final = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
# No answer in time, and the answers of a container that has too much to do.
_PASSING_STATUSES: Final = (0, 408, 429)
_PASSING: Final = frozenset(
    {
        "ThrottlingException",
        "ServiceUnavailable",
        "InternalFailure",
        "InternalDependencyException",
        "ModelNotReadyException",
    }
)

logger = Logger()
tracer = Tracer(patch_modules=("botocore",))
metrics = Metrics(namespace="imgpipe")

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EndpointUnavailable(Exception):
    """The endpoint is busy, starting or failing; the next try may succeed."""


class StorageUnavailable(Exception):
    """S3 did not answer; the next try may succeed."""


class EndpointRefused(Exception):
    """There is no endpoint, or it refused this very request; trying again changes nothing."""


class Environment(BaseModel):
    """The function's environment variables."""

    model_config = ConfigDict(frozen=True)

    endpoint_name: str = Field(alias="ENDPOINT_NAME", min_length=1)


class Place(BaseModel):
    """Where the payload lies."""

    bucket: str
    key: str
    content_type: str


class Serialized(BaseModel):
    """The answer of Serialize, as far as it is used here."""

    id: str
    payload: Place


class _Ranked(BaseModel):
    label: str
    probability: Probability


class _Prediction(_Ranked):
    index: int
    threshold: Probability | None
    ranked: list[_Ranked]


class _Model(BaseModel):
    name: str | None


class _Answer(BaseModel):
    """The endpoint's verbose answer for one image."""

    predictions: Annotated[list[_Prediction], Field(min_length=1, max_length=1)]
    model: _Model


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
@event_parser(model=Serialized)
def handler(event: Serialized, _context: object) -> dict[str, Any]:
    """Answers with label, index, confidence (0 to 1), threshold (None: the model suggests none), ranked, model name.

    `ranked` holds the RANKED most probable classes. EndpointUnavailable and
    StorageUnavailable are worth another try, EndpointRefused is not.
    """
    environment = Environment.model_validate(dict(os.environ))
    logger.append_keys(id=event.id, endpoint=environment.endpoint_name)
    started = time.perf_counter()
    answer = _parsed(_invoke(event, environment.endpoint_name), environment.endpoint_name)
    metrics.add_metric(name="EndpointLatency", unit="Milliseconds", value=(time.perf_counter() - started) * 1000)
    [prediction] = answer.predictions
    metrics.add_metric(name="Confidence", unit="Percent", value=prediction.probability * 100)
    logger.info("image classified", extra={"label": prediction.label, "confidence": prediction.probability})
    return {
        "label": prediction.label,
        "index": prediction.index,
        "confidence": prediction.probability,
        "threshold": prediction.threshold,
        "ranked": [item.model_dump() for item in prediction.ranked[:RANKED]],
        "model": answer.model.name,
    }


def _invoke(event: Serialized, endpoint: str) -> bytes:
    payload = event.payload
    body = _payload(payload)
    try:
        answer = _client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint,
            ContentType=payload.content_type,
            Accept="application/json",
            CustomAttributes=VERBOSE,
            # Captured with the request, so that a label given in the review finds it.
            InferenceId=event.id,
            Body=body,
        )
        content: bytes = answer["Body"].read()
    except ClientError as error:
        raise _explained(error, endpoint) from error
    except BotoCoreError as error:
        raise EndpointUnavailable(f"endpoint {endpoint}: {error}") from error
    return content


def _payload(payload: Place) -> bytes:
    try:
        body: bytes = _client("s3").get_object(Bucket=payload.bucket, Key=payload.key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        if (
            isinstance(error, ClientError)
            and error.response["ResponseMetadata"].get("HTTPStatusCode", 0) < SERVER_ERROR
        ):
            raise
        raise StorageUnavailable(f"s3://{payload.bucket}/{payload.key}: {error}") from error
    return body


def _explained(error: ClientError, endpoint: str) -> Exception:
    code = error.response["Error"]["Code"]
    # A ModelError's own status is 424, and the container's is beside it: 0 where it did not answer in time.
    status: Any = error.response.get("OriginalStatusCode")
    if status is None:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    said = " ".join(str(error.response.get("OriginalMessage") or error.response["Error"].get("Message", "")).split())
    text = f"endpoint {endpoint} answered {code} {status}: {said}"
    if code in _PASSING or status in _PASSING_STATUSES or status >= SERVER_ERROR:
        return EndpointUnavailable(text)
    if code == "ValidationError":
        return EndpointRefused(f"{text}: approve a model version, or start the endpoint (imgpipe endpoint --start)")
    return EndpointRefused(text)


def _parsed(content: bytes, endpoint: str) -> _Answer:
    try:
        return _Answer.model_validate(json.loads(content))
    except (ValueError, ValidationError) as error:
        said = " ".join(str(error).split())
        raise EndpointRefused(
            f"endpoint {endpoint} does not answer like this project's serving container: {said[:500]}"
        ) from error


@functools.cache
def _client(service: str) -> Any:
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]
