"""Classify against an endpoint that is a small HTTP server: what is sent, and what becomes of each answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from handler_tools import ARTIFACTS, CONTEXT, ENDPOINT, ENVIRONMENT, encoded, photo
from moto import mock_aws

from functions.classify import handler as classify

BODY = encoded(photo(64, 64))
EVENT = {
    "id": "abc",
    "image": {"bucket": "b", "key": "k", "version": "v", "bytes": 3},
    "payload": {"bucket": ARTIFACTS, "key": "classify/abc.jpg", "content_type": "image/jpeg"},
}


def _answer(**changes: Any) -> dict:
    ranked = [{"label": f"class {number}", "probability": 0.5 / (number + 1)} for number in range(10)]
    best = {"label": "class 0", "index": 7, "probability": 0.5, "threshold": 0.4, "accepted": True, "ranked": ranked}
    return {"predictions": [best | changes], "model": {"name": "imgpipe-dev-v3-0a1b2c3d", "precision": "fp32"}}


def _error(code: str, message: str, **fields: Any) -> bytes:
    return json.dumps({"ErrorCode": code, "Message": message, "OriginalMessage": message, **fields}).encode()


@pytest.fixture
def endpoint(monkeypatch) -> Iterator[SimpleNamespace]:
    """sagemaker-runtime as an HTTP server: `status`, `body` and `code` say what it answers, `requests` what it got."""
    state = SimpleNamespace(status=200, body=json.dumps(_answer()).encode(), code=None, requests=[])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append((self.path, dict(self.headers), body))
            self.send_response(state.status)
            if state.code:
                self.send_header("X-Amzn-ErrorType", state.code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_arguments: Any) -> None:
            """Nothing on the terminal."""

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    with mock_aws(config={"core": {"passthrough": {"urls": [f"{url}.*"]}}}):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=ARTIFACTS)
        s3.put_object(Bucket=ARTIFACTS, Key=EVENT["payload"]["key"], Body=BODY)
        runtime = boto3.client("sagemaker-runtime", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))
        monkeypatch.setattr(classify, "_client", {"s3": s3, "sagemaker-runtime": runtime}.__getitem__)
        yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_endpoint_gets_the_payload_once_and_as_it_is(endpoint):
    classify.handler(EVENT, CONTEXT)
    [(path, headers, body)] = endpoint.requests
    assert path == f"/endpoints/{ENDPOINT}/invocations"
    assert body == BODY, "neither encoded nor decoded on its way"
    given = {name.lower(): value for name, value in headers.items()}
    assert given["content-type"] == "image/jpeg"
    assert given["x-amzn-sagemaker-custom-attributes"] == "verbose=true"


def test_the_endpoint_is_the_environments(endpoint, monkeypatch):
    monkeypatch.setenv("ENDPOINT_NAME", "another")
    classify.handler(EVENT, CONTEXT)
    assert endpoint.requests[0][0] == "/endpoints/another/invocations"


def test_the_answer_is_json_with_numbers(endpoint):
    answer = classify.handler(EVENT, CONTEXT)
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["label"], answer["index"], answer["confidence"], answer["threshold"]) == ("class 0", 7, 0.5, 0.4)
    assert answer["model"] == "imgpipe-dev-v3-0a1b2c3d"
    assert [item["label"] for item in answer["ranked"]] == [f"class {number}" for number in range(5)]


def test_a_model_without_thresholds_and_name(endpoint):
    content = _answer(threshold=None) | {"model": {"name": None}}
    endpoint.body = json.dumps(content).encode()
    answer = classify.handler(EVENT, CONTEXT)
    assert (answer["threshold"], answer["model"]) == (None, None)


@pytest.mark.parametrize(
    ("status", "code", "fields"),
    [
        (424, "ModelError", {"OriginalStatusCode": 500}),
        (424, "ModelError", {"OriginalStatusCode": 503}),
        (429, "ThrottlingException", {}),
        (429, "ModelNotReadyException", {}),
        (503, "ServiceUnavailable", {}),
        (500, "InternalFailure", {}),
        (530, "InternalDependencyException", {}),
    ],
)
def test_what_passes_is_worth_another_try(endpoint, status, code, fields):
    endpoint.status, endpoint.code, endpoint.body = status, code, _error(code, "busy", **fields)
    with pytest.raises(classify.EndpointUnavailable, match="busy"):
        classify.handler(EVENT, CONTEXT)


@pytest.mark.parametrize(
    ("status", "code", "fields", "said"),
    [
        (424, "ModelError", {"OriginalStatusCode": 400}, "not_an_image"),
        (424, "ModelError", {"OriginalStatusCode": 413}, "too_large"),
        (424, "ModelError", {"OriginalStatusCode": 415}, "unsupported"),
        (400, "ValidationError", {}, "Endpoint imgpipe-dev of account 1 not found."),
    ],
)
def test_what_is_refused_is_final_and_says_why_in_one_line(endpoint, status, code, fields, said):
    endpoint.status, endpoint.code, endpoint.body = status, code, _error(code, f"{said}\nand\nmore", **fields)
    with pytest.raises(classify.EndpointRefused) as caught:
        classify.handler(EVENT, CONTEXT)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    if code == "ValidationError":
        assert "imgpipe endpoint --start" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"[0.1, 0.9]",
        b'{"predictions": []}',
        json.dumps(_answer(probability="0.9")).encode().replace(b'"0.9"', b'"high"'),
        json.dumps(_answer(probability=1.5)).encode(),
        json.dumps(_answer()).replace("0.5", "NaN").encode(),
    ],
)
def test_an_answer_of_another_form_is_refused(endpoint, content):
    endpoint.body = content
    with pytest.raises(classify.EndpointRefused, match="does not answer like this project's serving container"):
        classify.handler(EVENT, CONTEXT)


def test_a_payload_that_is_gone_is_final(endpoint):
    event = EVENT | {"payload": EVENT["payload"] | {"key": "classify/gone.jpg"}}
    with pytest.raises(ClientError, match="NoSuchKey"):
        classify.handler(event, CONTEXT)
    assert endpoint.requests == []


def test_an_endpoint_that_nobody_reaches_is_worth_another_try(endpoint, monkeypatch):
    def nowhere(service: str) -> Any:
        return boto3.client(
            service,
            **({} if service == "s3" else {"endpoint_url": "http://127.0.0.1:9"}),
            config=Config(retries={"total_max_attempts": 1}),
        )

    monkeypatch.setattr(classify, "_client", nowhere)
    with mock_aws(config={"core": {"passthrough": {"urls": ["http://127.0.0.1:9.*"]}}}):
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=ARTIFACTS)
        s3.put_object(Bucket=ARTIFACTS, Key=EVENT["payload"]["key"], Body=BODY)
        with pytest.raises(classify.EndpointUnavailable):
            classify.handler(EVENT, CONTEXT)
