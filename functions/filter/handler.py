"""Filter: decides whether an answer is sure enough to be accepted, or goes to review."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Final

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ACCEPTED: Final = "ACCEPTED"
NOT_MET: Final = "THRESHOLD_CONFIDENCE_NOT_MET"

logger = Logger()
tracer = Tracer(auto_patch=False)  # it calls nobody
metrics = Metrics(namespace="imgpipe")

# A number, and not its text: compared as text "0.9" would beat 0.95, and bytes would beat everything.
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class Environment(BaseModel):
    """The function's environment variables."""

    model_config = ConfigDict(frozen=True)

    threshold: Annotated[float | None, BeforeValidator(lambda text: text or None)] = Field(
        None, alias="CONFIDENCE_THRESHOLD", ge=0, le=1, allow_inf_nan=False
    )
    result_expiry_days: int = Field(alias="RESULT_EXPIRY_DAYS", ge=1)


class _Image(BaseModel):
    bucket: str
    key: str
    version: str


class _Serialized(BaseModel):
    id: str
    image: _Image


class _Classified(BaseModel):
    label: str
    index: int
    confidence: Probability
    threshold: Probability | None
    ranked: list[dict[str, Any]]
    model: str | None


class Answered(BaseModel):
    """The answers of Serialize and Classify, as far as they are used here, and the execution that got them."""

    serialized: _Serialized
    classified: _Classified
    execution: str


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
@event_parser(model=Answered)
def handler(event: Answered, _context: object) -> dict[str, Any]:
    """Answers with `item`, the result as an item of the result table in DynamoDB's own JSON.

    The threshold is the settings', else the one that the model suggests for the label; with neither nothing is sure
    enough. A confidence that equals it is accepted. The attribute `result` holds all of it as one JSON object, which
    is what people and queues get; the others are there to be searched. `classified_at` is ISO 8601 in UTC,
    `expires_at` the end of the result's life in seconds since 1970.
    """
    environment = Environment.model_validate(dict(os.environ))
    found, image = event.classified, event.serialized.image
    threshold = found.threshold if environment.threshold is None else environment.threshold
    accepted = threshold is not None and found.confidence >= threshold
    metrics.add_metric(name="Accepted" if accepted else "SentToReview", unit="Count", value=1)
    now = datetime.now(timezone.utc)
    result = {
        "id": event.serialized.id,
        "status": ACCEPTED if accepted else NOT_MET,
        "s3_bucket": image.bucket,
        "s3_key": image.key,
        "s3_version": image.version,
        **found.model_dump(),
        "threshold": threshold,
        "classified_at": now.isoformat(timespec="seconds"),
        "execution": event.execution,
    }
    logger.info("decided", extra={name: result[name] for name in ("id", "status", "label", "confidence", "threshold")})
    return {"item": _item(result, expires_at=int((now + timedelta(days=environment.result_expiry_days)).timestamp()))}


def _item(result: dict[str, Any], *, expires_at: int) -> dict[str, dict[str, str]]:
    texts = ("id", "status", "s3_bucket", "s3_key", "label", "classified_at")
    return {
        **{name: {"S": result[name]} for name in texts},
        "confidence": {"N": repr(result["confidence"])},
        "expires_at": {"N": str(expires_at)},
        "result": {"S": json.dumps(result)},
    }
