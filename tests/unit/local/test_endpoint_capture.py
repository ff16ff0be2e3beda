"""Data capture: the wished share of the requests, in the service's format, in a file an hour."""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import local.endpoint.capture
from local.endpoint.capture import Capture, captured_requests

JSON = {"Content-Type": "application/json"}
IMAGE = {"content-type": "image/png"}


def consider(
    capture: Capture, *, percent: int = 100, headers: dict[str, str] | None = None, body: bytes = b"x"
) -> None:
    answer = (JSON, b"[0.5, 0.5]")
    capture.consider(percent=percent, variant="AllTraffic", headers=headers or IMAGE, body=body, answer=answer)


def lines(directory: Path) -> list[dict[str, Any]]:
    """Every line of every file, parsed."""
    return [json.loads(line) for path in sorted(directory.rglob("*.jsonl")) for line in path.open(encoding="utf-8")]


def test_a_line_is_the_services(tmp_path: Path) -> None:
    capture = Capture(tmp_path, endpoint="e")
    headers = {**IMAGE, "X-Amzn-SageMaker-Custom-Attributes": "verbose=true", "x-amzn-sagemaker-inference-id": "17"}
    consider(capture, headers=headers, body=b"\x89PNG\n\xff")
    [line] = lines(tmp_path)
    metadata = line.pop("eventMetadata")
    assert line == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "image/png",
                "mode": "INPUT",
                "data": base64.b64encode(b"\x89PNG\n\xff").decode(),
                "encoding": "BASE64",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": "[0.5, 0.5]",
                "encoding": "JSON",
            },
        },
        "eventVersion": "0",
    }
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata.pop("eventId"))
    assert datetime.strptime(metadata.pop("inferenceTime"), "%Y-%m-%dT%H:%M:%SZ")
    assert metadata == {"customAttributes": ["verbose=true"], "inferenceId": "17"}


def test_the_place_is_the_services(tmp_path: Path) -> None:
    consider(Capture(tmp_path, endpoint="e"))
    [path] = tmp_path.rglob("*.jsonl")
    assert re.fullmatch(
        r"e/AllTraffic/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl", str(path.relative_to(tmp_path))
    )


def test_each_hour_has_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter([8, 8, 9])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2024, 5, 1, next(hours), 59, 30, tzinfo=timezone.utc)

    monkeypatch.setattr(local.endpoint.capture, "datetime", Clock)
    capture = Capture(tmp_path, endpoint="e")
    for _ in range(3):
        consider(capture)
    found = {str(path.parent.relative_to(tmp_path)): len(lines(path.parent)) for path in tmp_path.rglob("*.jsonl")}
    assert found == {"e/AllTraffic/2024/05/01/08": 2, "e/AllTraffic/2024/05/01/09": 1}


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (100, 500, 500), (30, 110, 190)])
def test_a_share_of_the_requests_is_captured(tmp_path: Path, percent: int, least: int, most: int) -> None:
    random.seed(7)
    capture = Capture(tmp_path, endpoint="e")
    for _ in range(500):
        consider(capture, percent=percent)
    assert least <= capture.count <= most
    assert captured_requests(tmp_path) == len(lines(tmp_path)) == capture.count


def test_json_that_is_no_text_does_not_break_a_line(tmp_path: Path) -> None:
    consider(Capture(tmp_path, endpoint="e"), headers=JSON, body=b'["\xff\n\xe2\x80\xa8"]')
    [line] = lines(tmp_path)
    assert line["captureData"]["endpointInput"]["encoding"] == "JSON"
    assert captured_requests(tmp_path) == 1


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    capture = Capture(tmp_path, endpoint="e")

    def work(letter: bytes) -> None:
        for _ in range(20):
            consider(capture, body=letter * 100_000)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = [base64.b64decode(line["captureData"]["endpointInput"]["data"]) for line in lines(tmp_path)]
    assert {letter: bodies.count(letter * 100_000) for letter in (b"a", b"b", b"c", b"d")} == dict.fromkeys(
        (b"a", b"b", b"c", b"d"), 20
    )


def test_no_folder_holds_no_requests(tmp_path: Path) -> None:
    assert captured_requests(tmp_path / "nowhere") == 0
