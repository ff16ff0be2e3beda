"""The custom resource of the endpoint: it follows settings, goes with the stack, and stays when the stack does."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from moto.sns.models import sns_backends

from functions.remove_endpoint import handler as remove

NAME, OLD = "imgpipe-dev", "imgpipe-dev-serverless"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/imgpipe-dev-serving/0a1b"
OURS = "imgpipe-dev-v3-0a1b2c3d"
ROLE = "arn:aws:iam::123456789012:role/role"


class Context:
    """Lambda's context with a clock that the handler's sleeps move."""

    log_stream_name = "2026/01/01/[1]abc"

    def __init__(self, remaining_ms: int = 900_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@pytest.fixture
def answers(monkeypatch):
    """What CloudFormation was answered."""
    taken = []

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

    def urlopen(request, timeout):
        taken.append(json.loads(request.data))
        return Answer()

    monkeypatch.setattr(remove.urllib.request, "urlopen", urlopen)
    return taken


@pytest.fixture
def account(monkeypatch):
    """An account with a machine, an endpoint, its model and configuration, and those of somebody else."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("ENDPOINT_NAME", NAME)
    with mock_aws():
        client = boto3.client("sagemaker")
        for name in (OURS, "imgpipe-dev-vision", "imgpipe-dev-v3-0a1b2c3d-copy"):
            client.create_model(ModelName=name, ExecutionRoleArn=ROLE)
            variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.c5.large"}
            client.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=[variant | {"InitialInstanceCount": 1}]
            )
        client.create_endpoint(EndpointName=NAME, EndpointConfigName=OURS)
        yield client


@pytest.fixture
def machine(account, monkeypatch):
    client = boto3.client("stepfunctions")
    monkeypatch.setattr(remove.time, "sleep", lambda _seconds: None)
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    return client.create_state_machine(name="imgpipe-dev-deploy", definition=definition, roleArn=ROLE)[
        "stateMachineArn"
    ]


@pytest.fixture
def stack_status(monkeypatch):
    """Sets the status that CloudFormation reports for the stack."""

    def set_status(status: str) -> None:
        monkeypatch.setattr(remove, "_stack_status", lambda stack: status if stack == STACK else "UNKNOWN")

    return set_status


def _send(kind: str, machine: str, *, endpoint: str = NAME, physical: str | None = None, context=None) -> None:
    event = {
        "RequestType": kind,
        "ResponseURL": "https://answers.example/1",
        "StackId": STACK,
        "RequestId": "request-1",
        "LogicalResourceId": "Endpoint",
        "ResourceProperties": {
            "EndpointName": endpoint,
            "NamePrefix": "imgpipe-dev-v",
            "StateMachineArn": machine,
            "SettingsHash": "0a1b2c3d-",
        },
    }
    if physical:
        event["PhysicalResourceId"] = physical
    remove.handler(event, context or Context())


def _endpoints(client) -> list[str]:
    return [item["EndpointName"] for item in client.list_endpoints()["Endpoints"]]


def _executions(machine: str) -> list[dict]:
    client = boto3.client("stepfunctions")
    found = client.list_executions(stateMachineArn=machine)["executions"]
    return [client.describe_execution(executionArn=item["executionArn"]) for item in found]


def _set_status(name: str, status: str) -> None:
    sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].endpoints[name].endpoint_status = status


def test_creation_does_nothing(account, machine, answers):
    _send("Create", machine)
    assert (answers[0]["Status"], answers[0]["PhysicalResourceId"]) == ("SUCCESS", NAME)
    assert not _executions(machine)


def test_changed_settings_start_the_machine(account, machine, answers):
    _send("Update", machine, physical=NAME)
    (execution,) = _executions(machine)
    detail = {"ModelApprovalStatus": "Redeploy", "SettingsHash": "0a1b2c3d-"}
    assert json.loads(execution["input"]) == {"detail": detail}
    assert answers[0]["PhysicalResourceId"] == NAME


@pytest.mark.parametrize(("outdated", "status"), [(2, "SUCCESS"), (99, "FAILED")])
def test_execution_of_the_old_definition_is_started_once_more(account, machine, answers, monkeypatch, outdated, status):
    seen = []

    def is_outdated(execution, _context):
        seen.append(execution)
        return len(seen) <= outdated

    monkeypatch.setattr(remove, "_is_outdated", is_outdated)
    _send("Update", machine, physical=NAME)
    assert answers[0]["Status"] == status
    assert len(set(seen)) == len(_executions(machine)) == min(outdated + 1, 6)


@pytest.mark.parametrize(
    ("found", "outdated"),
    [
        ({"status": "SUCCEEDED", "output": '{"outdated": true}'}, True),
        ({"status": "SUCCEEDED", "output": "{}"}, False),
        ({"status": "FAILED"}, False),
        ({"status": "RUNNING"}, False),
    ],
)
def test_outdated_is_what_the_execution_says(monkeypatch, found, outdated):
    class Client:
        def describe_execution(self, executionArn):  # noqa: N803
            return found

    monkeypatch.setattr(remove.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(remove.boto3, "client", lambda *_arguments, **_options: Client())
    assert remove._is_outdated("arn", Context()) is outdated


def test_replaced_endpoint_stays_until_its_successor_serves(account, machine, answers, stack_status, monkeypatch):
    context = Context()

    def sleep(seconds: float) -> None:
        context.remaining_ms -= int(seconds * 1000)

    monkeypatch.setattr(remove.time, "sleep", sleep)
    account.create_endpoint(EndpointName=OLD, EndpointConfigName=OURS)
    _set_status(NAME, "Failed")
    topic = boto3.client("sns").create_topic(Name="notifications")["TopicArn"]
    monkeypatch.setenv("TOPIC_ARN", topic)
    stack_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    _send("Delete", machine, endpoint=OLD, physical=OLD, context=context)
    assert answers[0]["Status"] == "SUCCESS", answers
    assert "stays, because its successor imgpipe-dev does not serve" in answers[0]["Reason"]
    assert set(_endpoints(account)) == {NAME, OLD}
    (sent,) = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[topic].sent_notifications
    assert f"delete-endpoint --endpoint-name {OLD}" in sent[1]


def test_another_name_stops_what_works_on_the_old_one(account, machine, answers):
    """Also on a roll-back, where the new endpoint would be made behind our back."""
    running = boto3.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    _send("Update", machine, endpoint=NAME, physical=OLD)
    status = boto3.client("stepfunctions").describe_execution(executionArn=running)["status"]
    assert status != "RUNNING"
    assert answers[0]["PhysicalResourceId"] == NAME


def test_without_an_endpoint_nothing_is_started(account, machine, answers):
    account.delete_endpoint(EndpointName=NAME)
    _send("Update", machine, physical=NAME)
    assert answers[0]["Status"] == "SUCCESS"
    assert not _executions(machine)


def test_another_name_starts_the_successor_and_becomes_the_id(account, machine, answers):
    """The new id makes CloudFormation delete the old one."""
    _send("Update", machine, endpoint=OLD, physical=NAME)
    assert len(_executions(machine)) == 1
    assert answers[0]["PhysicalResourceId"] == OLD


def test_failed_update_keeps_its_id(account, answers):
    """Otherwise CloudFormation would delete the endpoint that serves."""
    _send("Update", "arn:aws:states:us-east-1:123456789012:stateMachine:missing", endpoint=OLD, physical=NAME)
    assert (answers[0]["Status"], answers[0]["PhysicalResourceId"]) == ("FAILED", NAME)


def test_with_the_stack_all_of_it_goes_and_nothing_of_others(account, machine, answers, stack_status, monkeypatch):
    monkeypatch.setattr(remove.time, "sleep", lambda _seconds: None)
    stack_status("DELETE_IN_PROGRESS")
    running = boto3.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    _send("Delete", machine, physical=NAME)
    assert answers[0]["Status"] == "SUCCESS", answers
    assert _endpoints(account) == []
    left = {"imgpipe-dev-vision", "imgpipe-dev-v3-0a1b2c3d-copy"}
    assert {item["ModelName"] for item in account.list_models()["Models"]} == left
    assert {item["EndpointConfigName"] for item in account.list_endpoint_configs()["EndpointConfigs"]} == left
    status = boto3.client("stepfunctions").describe_execution(executionArn=running)["status"]
    assert status != "RUNNING", "it would make a new endpoint"
    _send("Delete", machine, physical=NAME)
    assert answers[1]["Status"] == "SUCCESS", "a second time is no error"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_the_endpoint_of_a_stack_that_stays_does_too(account, machine, answers, stack_status, status):
    stack_status(status)
    _send("Delete", machine, physical=NAME)
    assert answers[0]["Status"] == "SUCCESS"
    assert _endpoints(account) == [NAME]


def test_replaced_endpoint_goes_once_its_successor_serves(account, machine, answers, stack_status, monkeypatch):
    account.create_endpoint(EndpointName=OLD, EndpointConfigName=OURS)
    _set_status(NAME, "Creating")
    monkeypatch.setattr(remove.time, "sleep", lambda _seconds: _set_status(NAME, "InService"))
    stack_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    _send("Delete", machine, endpoint=OLD, physical=OLD)
    assert answers[0]["Status"] == "SUCCESS", answers
    assert _endpoints(account) == [NAME]
    assert OURS in {item["ModelName"] for item in account.list_models()["Models"]}, "its successor uses it"


def test_busy_endpoint_is_awaited(account, machine, answers, stack_status, monkeypatch):
    _set_status(NAME, "Updating")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            _set_status(NAME, "InService")

    monkeypatch.setattr(remove.time, "sleep", sleep)
    stack_status("DELETE_IN_PROGRESS")
    _send("Delete", machine, physical=NAME)
    assert answers[0]["Status"] == "SUCCESS", answers
    assert len(waited) >= 3
    assert _endpoints(account) == []


def test_endpoint_that_stays_busy_says_what_to_do(account, machine, answers, stack_status, monkeypatch):
    context = Context()

    def sleep(seconds: float) -> None:
        context.remaining_ms -= int(seconds * 1000)

    monkeypatch.setattr(remove.time, "sleep", sleep)
    _set_status(NAME, "Updating")
    stack_status("DELETE_IN_PROGRESS")
    _send("Delete", machine, physical=NAME, context=context)
    assert answers[0]["Status"] == "FAILED"
    assert "still Updating: delete the stack again" in answers[0]["Reason"]
