"""The process of a local endpoint: InvokeEndpoint as boto3 knows it, its control, and its end by itself."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from local.endpoint import control
from local.endpoint.capture import captured_requests
from local.endpoint.control import EndpointControl
from local.endpoint.host import wait_until_idle
from local.endpoint.record import NAME, ProcessMark, read_record
from local.errors import LocalRunError

PATIENCE_SECONDS = 60
WAIT_SECONDS = 1.0
NAMED = "imgpipe-dev"
# Answers a body of digits with that status, "break" not at all, "wait" late, others with themselves and its own name.
PROGRAM = """
import http.server, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"break":
            return
        if body == b"wait":
            time.sleep(float(os.environ["WAIT_SECONDS"]))
        self.send_response(int(body) if body.isdigit() else 200)
        self.send_header("Content-Type", "text/plain")
        attributes = "X-Amzn-SageMaker-Custom-Attributes"
        self.send_header(attributes, self.headers.get(attributes, ""))
        self.end_headers()
        self.wfile.write(os.environ["MODEL"].encode() + b":" + body)

address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def request(directory: Path, model: str, *, program: str = PROGRAM, percent: int = 0) -> dict[str, Any]:
    """What starts a fleet."""
    return {
        "command": [sys.executable, "-S", "-c", program],
        "environment": {"MODEL": model, "WAIT_SECONDS": str(WAIT_SECONDS)},
        "directory": str(directory),
        "log": str(directory / f"{model}.log"),
        "variant": "AllTraffic",
        "capture_percent": percent,
        "shown": {"model": model},
    }


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def host(directory: Path) -> Iterator[EndpointControl]:
    """An endpoint with two fleets."""
    started = control.start(directory, name=NAMED, idle_seconds=600)
    try:
        for model, percent in {"one": 0, "two": 100}.items():
            started.launch(model, request(directory, model, percent=percent))
            assert started.wait_ready(model) is None
        yield started
    finally:
        started.stop()


@pytest.fixture
def endpoint(host: EndpointControl) -> EndpointControl:
    """The endpoint, all requests of which go to fleet `one`."""
    host.route({"one": 1.0})
    return host


def runtime(endpoint: EndpointControl) -> Any:
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    return session.client("sagemaker-runtime", endpoint_url=endpoint.record.url)


def invoke(endpoint: EndpointControl, body: bytes, name: str = NAMED, **options: str) -> Any:
    return runtime(endpoint).invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain", **options)


def test_boto3_gets_the_containers_answer(endpoint: EndpointControl) -> None:
    answer = invoke(endpoint, b"body", CustomAttributes="verbose=true")
    assert answer["Body"].read() == b"one:body"
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain", "AllTraffic")
    assert answer["CustomAttributes"] == "verbose=true"


@pytest.mark.parametrize(("body", "status", "side"), [(b"400", 400, "client"), (b"503", 503, "server")])
def test_what_the_container_refuses_is_a_model_error(
    endpoint: EndpointControl, directory: Path, body: bytes, status: int, side: str
) -> None:
    with pytest.raises(ClientError, match=f"Received {side} error \\({status}\\) from primary") as raised:
        invoke(endpoint, body)
    response = raised.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == f"one:{status}"
    assert response["LogStreamArn"] == str(directory / "one.log")


def test_a_container_that_does_not_answer_is_a_model_error(endpoint: EndpointControl) -> None:
    status, headers, body = endpoint.invoke({"Content-Type": "text/plain"}, b"break")
    assert (status, headers["x-amzn-errortype"]) == (424, "ModelError")
    assert json.loads(body)["OriginalStatusCode"] == 500


def test_another_endpoint_is_not_found(endpoint: EndpointControl) -> None:
    with pytest.raises(ClientError, match=r"\(ValidationError\) .* Endpoint other of account \d{12} not found\."):
        invoke(endpoint, b"x", "other")


def test_shares_decide_who_answers_and_what_is_captured(endpoint: EndpointControl, directory: Path) -> None:
    before = captured_requests(directory)
    endpoint.route({"one": 0.0, "two": 1.0, "gone": 0.5})
    assert {endpoint.invoke({}, b"x")[2] for _ in range(5)} == {b"two:x"}
    assert endpoint.invoke({}, b"400")[0] == 424
    endpoint.route({"one": 1.0})
    assert endpoint.invoke({}, b"x")[2] == b"one:x"
    assert captured_requests(directory) - before == 5, "answers of the fleet that captures all, no refusals"
    endpoint.route({"one": 0.5, "two": 0.5})
    assert {endpoint.invoke({}, b"x")[2] for _ in range(60)} == {b"one:x", b"two:x"}


def test_a_request_that_cannot_be_captured_is_answered_and_the_next_one_captured(tmp_path: Path) -> None:
    started = control.start(tmp_path, name=NAMED, idle_seconds=600)
    try:
        started.launch("one", request(tmp_path, "one", percent=100))
        assert started.wait_ready("one") is None
        started.route({"one": 1.0})
        assert (started.invoke({}, b"x")[0], started.status()["captured"]) == (200, 1)
        shutil.rmtree(tmp_path / "capture")
        (tmp_path / "capture").touch()
        assert started.invoke({}, b"y")[::2] == (200, b"one:y")
        assert "could not be captured" in (tmp_path / "host.log").read_text()
        (tmp_path / "capture").unlink()
        assert (started.invoke({}, b"z")[0], captured_requests(tmp_path / "capture")) == (200, 1)
    finally:
        started.stop()


def test_it_tells_once_of_each_answer_with_status_and_latency(endpoint: EndpointControl) -> None:
    endpoint.served()
    for body in (b"x", b"404", b"503", b"break"):
        endpoint.invoke({"Content-Type": "text/plain"}, body)
    told = endpoint.served()
    assert [(item["variant"], item["status"]) for item in told] == [
        ("AllTraffic", 200),
        ("AllTraffic", 404),
        ("AllTraffic", 503),
        ("AllTraffic", 500),
    ]
    assert all(0 < item["model_seconds"] < PATIENCE_SECONDS for item in told)
    assert all(0 <= item["overhead_seconds"] < PATIENCE_SECONDS for item in told)
    assert all(abs(time.time() - item["seen"]) < PATIENCE_SECONDS for item in told)
    assert endpoint.served() == []
    again = control.running(endpoint._directory)
    assert again is not None
    assert [item["status"] for item in again.served()][-4:] == [200, 404, 503, 500], "a later process hears of all"


def test_a_request_under_way_is_told_of_once_it_has_lasted_since_the_last_time(endpoint: EndpointControl) -> None:
    endpoint.served()
    asking = threading.Thread(target=endpoint.invoke, args=({"Content-Type": "text/plain"}, b"wait"))
    asking.start()
    waiting: list[dict[str, Any]] = []
    while asking.is_alive() and not waiting:
        time.sleep(0.05)
        waiting = [item for item in endpoint.served() if item["status"] is None]
    asking.join()
    [item] = waiting
    assert 0.05 <= item["model_seconds"] < WAIT_SECONDS
    [answered] = endpoint.served()
    assert (answered["status"], answered["model_seconds"] >= WAIT_SECONDS) == (200, True)


def test_without_a_fleet_it_is_not_in_service(endpoint: EndpointControl) -> None:
    endpoint.route({})
    with pytest.raises(ClientError, match=r"\(ValidationError\) .* not in service"):
        invoke(endpoint, b"x")


@pytest.mark.parametrize("token", ["", "wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/control/status"),
        ("GET", "/control/requests"),
        ("PUT", "/control/fleets/three"),
        ("GET", "/control/fleets/one"),
        ("DELETE", "/control/fleets/one"),
        ("PUT", "/control/routes"),
        ("POST", "/control/stop"),
    ],
)
def test_control_needs_the_token(
    endpoint: EndpointControl, directory: Path, method: str, path: str, token: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.record.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, json.dumps(request(directory, "three")), {"X-Imgpipe-Token": token})
        assert connection.getresponse().status == 403
    finally:
        connection.close()
    assert [fleet["fleet"] for fleet in endpoint.status()["serving"]] == ["one"], "nothing came of it"
    found = read_record(directory)
    assert found is not None
    assert len(found.programs) == 2


def test_the_status_says_who_answers(endpoint: EndpointControl) -> None:
    invoke(endpoint, b"x")
    status = endpoint.status()
    assert status["endpoint"] == NAMED
    assert status["serving"] == [{"model": "one", "fleet": "one", "share": 1.0}]
    assert 0 <= status["idle_seconds"] < PATIENCE_SECONDS


def test_a_container_that_ends_is_never_ready(endpoint: EndpointControl, directory: Path) -> None:
    endpoint.launch("bad", request(directory, "bad", program="print('no model here'); raise SystemExit(3)"))
    assert endpoint.wait_ready("bad") == "The container ended with exit code 3: no model here"
    endpoint.end("bad")


def test_an_ended_fleet_has_no_process(endpoint: EndpointControl, directory: Path) -> None:
    endpoint.launch("three", request(directory, "three"))
    found = read_record(directory)
    assert found is not None
    mark = found.programs[-1]
    assert mark.process()
    endpoint.end("three")
    assert mark.process() is None
    found = read_record(directory)
    assert found is not None
    assert mark not in found.programs


def test_stopping_leaves_nothing(tmp_path: Path) -> None:
    started = control.start(tmp_path, name="e", idle_seconds=600)
    started.launch("one", request(tmp_path, "one"))
    assert started.wait_ready("one") is None
    running = control.running(tmp_path)
    assert running is not None
    marks = [running.record.host, *running.record.programs]
    assert len(marks) == 2
    running.stop()
    assert [mark.process() for mark in marks] == [None, None]
    assert not (tmp_path / NAME).exists()
    with pytest.raises(LocalRunError, match="the local endpoint e does not answer"):
        started.status()


def test_it_ends_by_itself_with_its_programs(tmp_path: Path) -> None:
    started = control.start(tmp_path, name="e", idle_seconds=1.0)
    started.launch("one", request(tmp_path, "one"))
    found = read_record(tmp_path)
    assert found is not None
    [program] = found.programs
    psutil.Process(started.record.host.pid).wait(PATIENCE_SECONDS)
    assert ProcessMark(pid=program.pid, started=program.started).process() is None
    assert not (tmp_path / NAME).exists()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(LocalRunError, match=r"the local endpoint e did not start: see .*host\.log"):
        control.start(tmp_path, name="e", idle_seconds=600)


def test_idle_time_begins_with_the_last_request() -> None:
    now, used, slept = 0.0, 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now, used
        slept.append(seconds)
        now += seconds
        if now == 10:
            used = 7.0

    wait_until_idle(lambda: used, 10, clock=lambda: now, sleep=sleep)
    assert slept == [10, 7]
    assert now == 17
