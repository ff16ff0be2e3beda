"""The answers of sagemaker-runtime's InvokeEndpoint over HTTP.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body

_MODEL_ERROR_STATUS: Final = 424
_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500
_ERRORS: Final = 300  # and above
ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID: Final = "X-Amzn-SageMaker-Inference-Id"
_VARIANT: Final = "x-Amzn-Invoked-Production-Variant"


def answered(container: Answer, *, variant: str, log: str) -> Answer:
    """What the service makes of a container's answer: an error of it, 4xx or 5xx, is a ModelError; `log` is its log."""
    status, headers, body = container
    if status >= _ERRORS:
        return model_error(status, body.decode(errors="replace"), log=log)
    given = {name.lower(): value for name, value in headers.items()}
    kept = {"Content-Type": given.get("content-type", "application/octet-stream"), _VARIANT: variant}
    if attributes := given.get(ATTRIBUTES.lower()):
        kept[ATTRIBUTES] = attributes
    return status, kept, body


def model_error(status: int, message: str, *, log: str) -> Answer:
    """The error of a container that refused (4xx), failed (5xx) or did not answer."""
    side = "server" if status >= _SERVER_ERROR else "client"
    text = f'Received {side} error ({status}) from primary with message "{message}". See {log} for more information.'
    fields = {"Message": text, "OriginalMessage": message, "OriginalStatusCode": status, "LogStreamArn": log}
    return _error("ModelError", _MODEL_ERROR_STATUS, fields)


def validation_error(message: str) -> Answer:
    """The error of a request that the service itself refuses."""
    return _error("ValidationError", _BAD_REQUEST, {"Message": message})


def _error(code: str, status: int, fields: Mapping[str, Any]) -> Answer:
    headers = {"Content-Type": "application/json", "X-Amzn-ErrorType": code}
    return status, headers, json.dumps({"ErrorCode": code, **fields}).encode()
