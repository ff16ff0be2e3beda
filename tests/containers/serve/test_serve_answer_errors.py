"""IMGPIPE_ANSWER_ERRORS: in a transform job the refusal of an image is an answer; what is wrong with the job is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, encoded, picture, serving

from serve.app import application
from serve.errors import RefusedRequest
from serve.handlers import Handlers
from serve.refusal import ANSWER_VARIABLE, RefusalResponse

LIMIT = 65536


@pytest.fixture(scope="module")
def lenient(colors: Path) -> Iterator[Served]:
    with serving(colors, IMGPIPE_ANSWER_ERRORS="true", IMGPIPE_MAX_PAYLOAD_BYTES=str(LIMIT)) as served:
        yield served


REFUSALS = [
    (b"no image", "application/x-image", 400, "not_an_image"),
    (b"", "application/x-image", 400, "empty"),
    (encoded(picture(), "JPEG")[:-20], "image/jpeg", 400, "truncated"),
    (b"[1", "application/json", 400, "malformed_json"),
    (b"x" * (LIMIT + 1), "application/x-image", 413, "too_large"),
]


@pytest.mark.parametrize(("body", "content_type", "status", "code"), REFUSALS, ids=[item[-1] for item in REFUSALS])
def test_a_refused_image_is_answered_with_the_reason(
    lenient: Served, server: Served, body: bytes, content_type: str, status: int, code: str
) -> None:
    answer, strict = lenient.classify(body, content_type), server.classify(body, content_type)
    assert (answer.status, answer.code) == (200, code)
    assert (strict.status, strict.code) == (status, code), "without the variable it is an error"
    assert answer.content == strict.content
    assert answer.headers["content-type"] == "application/json"
    good = lenient.classify(encoded(picture("blue")))
    assert good.content.index(max(good.content)) == 2


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/invocations", "text/csv", 415),
        ("GET", "/invocations", "", 405),
        ("POST", "/nowhere", "", 404),
    ],
)
def test_what_is_wrong_with_the_job_stays_an_error(
    lenient: Served, method: str, path: str, content_type: str, status: int
) -> None:
    answer = lenient.ask(method, path, encoded(picture()), Content_Type=content_type)
    assert (answer.status, "error" in answer.content) == (status, True)


@pytest.mark.parametrize(
    ("status", "expected"), [(400, 200), (413, 200), (408, 408), (415, 415), (500, 500), (503, 503)]
)
def test_only_two_statuses_are_answers(monkeypatch: pytest.MonkeyPatch, status: int, expected: int) -> None:
    monkeypatch.setenv(ANSWER_VARIABLE, "true")
    assert RefusalResponse(RefusedRequest("code", "why", status=status)).status_code == expected


@pytest.mark.parametrize("value", [None, "", "false", "1"])
def test_any_other_value_leaves_errors_errors(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(ANSWER_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(ANSWER_VARIABLE, value)
    assert RefusalResponse(RefusedRequest("code", "why")).status_code == 400


class Broken:
    """Handlers whose model fails."""

    async def ping(self, request: Any) -> Any: ...

    async def execution_parameters(self, request: Any) -> Any: ...

    async def invocations(self, request: Any) -> Any:
        raise ZeroDivisionError


class Slow(Handlers):
    """Handlers whose answer takes too long."""

    def __init__(self) -> None:
        self._open_requests = 0
        self.begun = asyncio.Event()

    async def _answer(self, request: Any) -> Any:
        self.begun.set()
        await asyncio.Event().wait()


def test_a_request_that_is_cut_at_the_servers_end_can_be_tried_again() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def cut() -> None:
        slow = Slow()
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
        task = asyncio.ensure_future(application(slow)(scope, receive, send))
        await slow.begun.wait()
        task.cancel()  # as uvicorn does when it has drained for long enough
        await task

    asyncio.run(cut())
    assert sent[0]["status"] == 503
    assert (b"content-type", b"application/json") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"]["code"] == "stopping"


def test_an_error_of_the_server_itself_stays_500(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANSWER_VARIABLE, "true")
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
    with pytest.raises(ZeroDivisionError):  # it goes on to the log
        asyncio.run(application(Broken())(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert b"internal_error" in sent[1]["body"]
