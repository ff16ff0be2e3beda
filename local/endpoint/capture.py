"""Data capture as the service writes it: a share of the requests with their answers, JSON lines in hourly folders.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from local.endpoint.runtime_api import ATTRIBUTES, INFERENCE_ID

_PERCENT: Final = 100
_JSON: Final = "application/json"  # the type that the endpoint configurations list among JsonContentTypes


class Capture:
    """Writes below `directory`/<endpoint>/<variant>/yyyy/mm/dd/hh; safe to use from several threads."""

    def __init__(self, directory: Path, *, endpoint: str) -> None:
        self._directory, self._endpoint = directory, endpoint
        self._lock = threading.Lock()
        self._hour, self._path = "", Path()
        self.count = 0  # of captured requests since the start

    def consider(
        self,
        *,
        percent: int,
        variant: str,
        headers: Mapping[str, str],
        body: bytes,
        answer: tuple[dict[str, str], bytes],
    ) -> None:
        """Captures a request that was answered, `percent` times in a hundred."""
        if random.random() * _PERCENT >= percent:
            return
        given = {name.lower(): value for name, value in headers.items()}
        now = datetime.now(timezone.utc)
        metadata: dict[str, Any] = {"eventId": str(uuid.uuid4()), "inferenceTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if attributes := given.get(ATTRIBUTES.lower()):
            metadata["customAttributes"] = [attributes]
        if inference_id := given.get(INFERENCE_ID.lower()):
            metadata["inferenceId"] = inference_id
        line = {
            "captureData": {
                "endpointInput": _side("INPUT", given.get("content-type", ""), body),
                "endpointOutput": _side("OUTPUT", answer[0].get("Content-Type", ""), answer[1]),
            },
            "eventMetadata": metadata,
            "eventVersion": "0",
        }
        with self._lock:
            path = self._file(variant, now)
            path.parent.mkdir(parents=True, exist_ok=True)  # each time: somebody may tidy up meanwhile
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
            self.count += 1

    def _file(self, variant: str, now: datetime) -> Path:
        """One file an hour for each start, named as the service does: minute, second, millisecond, a unique part."""
        hour = now.strftime("%Y/%m/%d/%H")
        if hour != self._hour:
            name = f"{now:%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
            self._hour, self._path = hour, self._directory / self._endpoint / variant / hour / name
        return self._path


def _side(mode: str, content_type: str, data: bytes) -> dict[str, str]:
    plain = content_type == _JSON
    return {
        "observedContentType": content_type,
        "mode": mode,
        "data": data.decode(errors="replace") if plain else base64.b64encode(data).decode(),
        "encoding": "JSON" if plain else "BASE64",
    }


def captured_requests(directory: Path) -> int:
    """How many requests the files below `directory` hold."""
    return sum(sum(1 for _ in path.open("rb")) for path in directory.rglob("*.jsonl"))
