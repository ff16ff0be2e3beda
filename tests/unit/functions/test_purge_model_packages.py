"""The purge custom resource against an emulated SageMaker and CloudFormation, answering to a real HTTP server."""

from __future__ import annotations

import http.server
import json
import threading

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from functions.purge_model_packages import handler as purge

GROUP = "imgpipe-dev"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/imgpipe-dev-training/0a1b"


class Context:
    """Lambda's context with a settable clock."""

    log_stream_name = "2026/01/01/[1]abc"

    def __init__(self, remaining_ms: int = 900_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@pytest.fixture
def answers():
    """A server that stands where CloudFormation's ResponseURL points: its URL, and the requests it took."""
    taken: list[tuple[dict, dict]] = []
    failures: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = failures.pop() if failures else 200
            if status == 200:
                taken.append((json.loads(body), dict(self.headers)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/answer?signature=1", taken, failures
    server.shutdown()
    server.server_close()


@pytest.fixture
def aws(monkeypatch):
    """A SageMaker client of an account that has the (empty) group; the HTTP server stays reachable."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(purge.time, "sleep", lambda _seconds: None)
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}):
        client = boto3.client("sagemaker")
        client.create_model_package_group(ModelPackageGroupName=GROUP)
        yield client


class SageMaker:
    """A client with the one action that moto does not know."""

    def __init__(self, client) -> None:
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def delete_model_package(self, *, ModelPackageName):  # noqa: N803 - boto3's spelling
        del sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].model_packages[ModelPackageName]


@pytest.fixture
def stack_status(monkeypatch):
    """Sets the status that CloudFormation reports for the stack."""

    def set_status(status: str) -> None:
        class CloudFormation:
            def describe_stacks(self, *, StackName):  # noqa: N803 - boto3's spelling
                assert StackName == STACK
                return {"Stacks": [{"StackStatus": status}]}

        def client(name, **options):
            return CloudFormation() if name == "cloudformation" else SageMaker(real(name, **options))

        monkeypatch.setattr(purge.boto3, "client", client)

    real = boto3.client
    set_status("DELETE_IN_PROGRESS")
    return set_status


def _register(client, count: int, group: str = GROUP) -> None:
    for _ in range(count):
        client.create_model_package(ModelPackageGroupName=group, ModelPackageDescription="model")


def _versions(client, group: str = GROUP) -> int:
    pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    return sum(len(page["ModelPackageSummaryList"]) for page in pages)


def _send(answers, request_type: str, *, group: str = GROUP, context: Context | None = None, **fields) -> dict:
    url, taken, _ = answers
    event = {
        "RequestType": request_type,
        "ResponseURL": url,
        "StackId": STACK,
        "RequestId": "request-1",
        "LogicalResourceId": "Versions",
        "ResourceProperties": {"ModelPackageGroupName": group},
        **fields,
    }
    purge.handler(event, context or Context())
    assert len(taken) == 1
    return taken[0][0]


def test_delete_removes_every_version(aws, stack_status, answers):
    _register(aws, 3)
    answer = _send(answers, "Delete", PhysicalResourceId="versions-of-imgpipe-dev")
    assert answer["Status"] == "SUCCESS", answer
    assert "removed 3 versions" in answer["Reason"]
    assert _versions(aws) == 0


def test_delete_removes_more_versions_than_a_page(aws, stack_status, answers):
    _register(aws, 120)
    assert _send(answers, "Delete")["Status"] == "SUCCESS"
    assert _versions(aws) == 0


def test_other_groups_are_left_alone(aws, stack_status, answers):
    aws.create_model_package_group(ModelPackageGroupName="other")
    _register(aws, 1)
    _register(aws, 2, group="other")
    assert _send(answers, "Delete")["Status"] == "SUCCESS"
    assert _versions(aws, "other") == 2


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_create_and_update_do_nothing(aws, stack_status, answers, request_type):
    _register(aws, 1)
    answer = _send(answers, request_type)
    assert answer["Status"] == "SUCCESS"
    assert _versions(aws) == 1


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_a_stack_that_stays_keeps_its_models(aws, stack_status, answers, status):
    _register(aws, 2)
    stack_status(status)
    answer = _send(answers, "Delete")
    assert answer["Status"] == "SUCCESS"
    assert "the stack stays" in answer["Reason"]
    assert _versions(aws) == 2


def test_a_group_that_is_gone_is_a_success(aws, stack_status, answers):
    answer = _send(answers, "Delete", group="deleted-by-hand")
    assert answer["Status"] == "SUCCESS"
    assert "removed 0 versions" in answer["Reason"]


def test_the_answer_is_what_cloudformation_expects(aws, stack_status, answers):
    answer = _send(answers, "Delete", PhysicalResourceId="kept-as-it-was")
    assert set(answer) == {"Status", "Reason", "PhysicalResourceId", "StackId", "RequestId", "LogicalResourceId"}
    assert answer["PhysicalResourceId"] == "kept-as-it-was"
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == (STACK, "request-1", "Versions")
    headers = answers[1][0][1]
    assert headers["Content-Type"] == "", "the signed URL admits no content type"


def test_the_physical_id_is_the_same_on_every_create(aws, stack_status, answers):
    assert _send(answers, "Create")["PhysicalResourceId"] == "versions-of-imgpipe-dev"


@pytest.mark.parametrize("fields", [{"ResourceProperties": {}}, {"RequestType": "Delete", "ResourceProperties": {}}])
def test_a_failure_is_answered_with_its_reason(aws, stack_status, answers, fields):
    answer = _send(answers, "Delete", **fields)
    assert answer["Status"] == "FAILED"
    assert "ModelPackageGroupName" in answer["Reason"]
    assert Context.log_stream_name in answer["Reason"]


def test_too_little_time_is_answered_before_lambda_stops(aws, stack_status, answers):
    _register(aws, 2)
    answer = _send(answers, "Delete", context=Context(remaining_ms=1000))
    assert answer["Status"] == "FAILED"
    assert "2 of 2 versions of imgpipe-dev are left: delete the stack again" in answer["Reason"]


def test_a_long_reason_is_cut(aws, stack_status, answers, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("x" * 10_000)

    monkeypatch.setattr(purge, "_purge", fail)
    answer = _send(answers, "Delete")
    assert answer["Status"] == "FAILED"
    # CloudFormation refuses an answer above 4,096 bytes.
    assert len(json.dumps(answer)) < 4096


def test_the_answer_is_tried_again(aws, stack_status, answers):
    answers[2].extend([503, 500])
    assert _send(answers, "Create")["Status"] == "SUCCESS"
