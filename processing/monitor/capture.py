"""Captured requests: every line of every JSON-lines file that data capture wrote.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from monitor.answers import Answer, AnswerReader, OtherModel, UnusableAnswer
from monitor.lines import files_below, numbered_lines
from monitor.problems import Problems

JSON_TYPE = "application/json"
SUFFIXES = (".jsonl", ".json")
# Written beside the captures by whoever chose them, so that no input is ever empty.
NOT_CAPTURES = frozenset({"window.json"})
# By which the deployment's own request is known; it shows one sample image, again and again.
SMOKE_INFERENCE_ID = "imgpipe-smoke-test"
# Custom attributes that name the image, as in "s3_key=photos/1.jpg"; a comma in a name is written %2C.
KEY_ATTRIBUTES = ("s3_key", "key", "image")
# The service files captures by year, month, day and hour.
_HOUR = re.compile(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """One image of a request: its bytes, the answer, when, where it was read, and the ids that ground truth may use.

    ``is_new`` says that no earlier window had it.
    """

    payload: bytes
    answer: Answer
    time: str
    place: str
    ids: tuple[str, ...]
    is_new: bool = True


@dataclass
class CaptureCounts:
    """What the files held: lines that are not blank, and which of them are left out.

    ``earlier`` came before the live version was deployed, ``other_model`` was answered by another model,
    ``smoke_tests`` were asked by deployments.
    """

    files: int = 0
    lines: int = 0
    earlier: int = 0
    other_model: int = 0
    smoke_tests: int = 0


class CaptureReader:
    """Reads the captures below a folder; ``since`` leaves out what was asked before the live version was deployed.

    Files of the hours before ``new_since`` were read for an earlier window too.
    """

    def __init__(
        self,
        folder: Path,
        *,
        answers: AnswerReader,
        problems: Problems,
        since: str | None = None,
        new_since: str | None = None,
    ) -> None:
        self._folder = folder
        self._answers = answers
        self._problems = problems
        self._since = None if since is None else moment(since)
        self._new_since = None if new_since is None else moment(new_since)
        self.counts = CaptureCounts()

    def inferences(self) -> Iterator[Inference]:
        """Yield every image with its answer, file by file and line by line; what is damaged goes to the problems."""
        for path in files_below(self._folder, *SUFFIXES):
            if path.name in NOT_CAPTURES:
                continue
            self.counts.files += 1
            name = path.relative_to(self._folder).as_posix()
            is_new = self._is_new(name)
            for number, line in numbered_lines(path):
                self.counts.lines += 1
                yield from self._line(line, f"{name}:{number}", is_new=is_new)

    def _is_new(self, name: str) -> bool:
        """Go by the hour in the file's name, as windows do, and not by the requests' times, which may differ."""
        found = _HOUR.search(name)
        if found is None or self._new_since is None:
            return True
        year, month, day, hour = map(int, found.groups())
        return datetime(year, month, day, hour, tzinfo=timezone.utc) >= self._new_since

    def _line(self, line: bytes, place: str, *, is_new: bool) -> list[Inference]:
        try:
            record = json.loads(line)
            data, event = record["captureData"], record["eventMetadata"]
            time = str(event.get("inferenceTime", ""))
            if self._is_left_out(event, time):
                return []
            payloads = _payloads(data["endpointInput"])
            ids = _ids(event)
            answers = self._answers.read(_content(data["endpointOutput"]))
        except OtherModel:
            self.counts.other_model += 1
            return []
        except UnusableAnswer as error:
            self._problems.add("answer", place, str(error))
            return []
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._problems.add("line", place, f"no captured request: {_reason(error)}")
            return []
        if len(payloads) != len(answers):
            self._problems.add("answer", place, f"{len(answers)} answers to {len(payloads)} images")
            return []
        single = len(payloads) == 1
        return [
            Inference(
                payload=payload,
                answer=answer,
                time=time,
                place=place if single else f"{place}#{index}",
                # An id of a request with several images names each of them by its place, from 0.
                ids=ids if single else tuple(f"{id_}#{index}" for id_ in ids),
                is_new=is_new,
            )
            for index, (payload, answer) in enumerate(zip(payloads, answers, strict=True))
        ]

    def _is_left_out(self, event: dict[str, Any], time: str) -> bool:
        if event.get("inferenceId") == SMOKE_INFERENCE_ID:
            self.counts.smoke_tests += 1
        elif self._since is not None and moment(time) < self._since:
            self.counts.earlier += 1
        else:
            return False
        return True


def moment(text: str) -> datetime:
    """Return an ISO 8601 time; one without an offset is UTC, as the service writes it. ValueError for anything else."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _content(side: Any) -> bytes:
    """Return the body that a side of the capture holds: base64, or the text of a listed JSON or CSV type."""
    data = side["data"]
    if side.get("encoding") == "BASE64":
        return base64.b64decode(data, validate=True)
    return str(data).encode()


def _payloads(side: Any) -> list[bytes]:
    body = _content(side)
    if str(side.get("observedContentType", "")).split(";")[0].strip().lower() != JSON_TYPE:
        return [body]
    images = json.loads(body)
    if not isinstance(images, list) or not images:
        raise ValueError("the request is no list of base64 images")
    return [base64.b64decode(image, validate=True) for image in images]


def _ids(event: dict[str, Any]) -> tuple[str, ...]:
    """Return all by which ground truth may name the request: event id, inference id, the image's key.

    Custom attributes are a list, or one text of what a list would hold. A key counts as it is written and with %2C and
    the like decoded, which a key with a comma needs.
    """
    found = [str(event[name]) for name in ("eventId", "inferenceId") if event.get(name)]
    attributes = event.get("customAttributes") or ()
    for attribute in [attributes] if isinstance(attributes, str) else attributes:
        for part in str(attribute).split(","):
            name, _, value = part.strip().partition("=")
            if value and name in KEY_ATTRIBUTES:
                found += dict.fromkeys((value, unquote(value)))
    return tuple(found)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "no JSON"
    if isinstance(error, binascii.Error):
        return "no base64"
    return f"no field {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
