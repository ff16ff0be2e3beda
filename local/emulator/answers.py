"""The answers of boto3 as Step Functions has them: JSON, times as text, streams read."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from botocore.response import StreamingBody


def plain(value: Any) -> Any:
    """What Step Functions makes of an SDK's answer."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, StreamingBody):
        return value.read().decode()
    return value.decode() if isinstance(value, bytes) else value
