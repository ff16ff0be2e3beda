"""Which object of S3 is meant: by a direct request, an EventBridge event or an S3 notification."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.parser import parse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
VersionId = Annotated[str, StringConstraints(min_length=1, max_length=1024)]

_FORMS = 'give {"s3_bucket", "s3_key"[, "s3_version_id"]}, or the event "Object Created" of one object'


class InvalidRequest(Exception):
    """An input that names no object; trying again changes nothing."""


class ImageRequest(BaseModel):
    """An object of S3; without `s3_version_id` its newest version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    s3_bucket: BucketName
    s3_key: Key
    s3_version_id: VersionId | None = None


class _Bucket(BaseModel):
    name: str


class _EventObject(BaseModel):
    """EventBridge gives keys as they are. Source: "EventBridge event message structure" in the S3 user guide."""

    key: str
    version_id: str | None = Field(None, alias="version-id")


class _Detail(BaseModel):
    bucket: _Bucket
    object: _EventObject


class _Event(BaseModel):
    detail: _Detail

    def request(self) -> dict[str, str | None]:
        """The values of an ImageRequest."""
        return _values(self.detail.bucket.name, self.detail.object.key, self.detail.object.version_id)


class _RecordObject(BaseModel):
    """A notification's keys are URL-encoded. Source: "Event message structure" in the S3 user guide."""

    key: str
    version_id: str | None = Field(None, alias="versionId")


class _Stored(BaseModel):
    bucket: _Bucket
    object: _RecordObject


class _Record(BaseModel):
    s3: _Stored


class _Notification(BaseModel):
    records: Annotated[list[_Record], Field(alias="Records", min_length=1, max_length=1)]

    def request(self) -> dict[str, str | None]:
        """The values of an ImageRequest."""
        [record] = self.records
        return _values(record.s3.bucket.name, unquote_plus(record.s3.object.key), record.s3.object.version_id)


def _values(bucket: str, key: str, version_id: str | None) -> dict[str, str | None]:
    return {"s3_bucket": bucket, "s3_key": key, "s3_version_id": version_id or None}


def read_request(event: Any) -> ImageRequest:
    """The object that `event` is about; raises InvalidRequest with one line."""
    if not isinstance(event, dict):
        raise InvalidRequest(f"the input is a {type(event).__name__} and not an object of JSON: {_FORMS}")
    try:
        if "Records" in event:
            event = parse(event=event, model=_Notification).request()
        elif "detail" in event:
            event = parse(event=event, model=_Event).request()
        return parse(event=event, model=ImageRequest)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'input'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise InvalidRequest(f"{problems}: {_FORMS}") from None
