"""`imgpipe errors`: every place is looked at, nothing is taken away, and what is not there is said."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imgpipe import project, unsure_results
from imgpipe.cli import app
from imgpipe.deployed_errors import Environment, find_deployed
from imgpipe.errors import CommandError
from imgpipe.errors_found import Found, parse_since, refused_requests
from imgpipe.local_errors import find_local
from local.emulator.account import EmulatedAccount, emulated_account
from local.endpoint.deployments import note_deployment
from local.endpoint.state import endpoint_directory

NOW = datetime.now(timezone.utc)
HOUR_AGO = NOW - timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/execution"
DEV = Environment(name="dev", prefix="imgpipe-dev", region="us-east-1")
REFUSED = {"time": NOW.isoformat(), "level": "info", "event": "request", "status": 400, "code": "not_an_image"}


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as opened:
        yield opened


def _find(since: datetime = HOUR_AGO) -> Found:
    return find_deployed(DEV, since)


def _only(found: Found) -> tuple[str, str, str]:
    [problem] = found.problems
    return problem.source, problem.reason, problem.more


@pytest.mark.parametrize(("text", "minutes"), [("30m", 30), ("1h", 60), ("2d", 2880), ("90d", 129600)])
def test_since_is_a_length_of_time(text: str, minutes: int) -> None:
    assert parse_since(text, now=NOW) == NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1w", "91d", "1.5h", "999999999h", "1h "])
def test_any_other_since_is_one_line(text: str) -> None:
    with pytest.raises(CommandError, match=r"^--since .*: write minutes, hours or days up to 90d, as 30m, 1h or 2d$"):
        parse_since(text, now=NOW)


def test_nothing_deployed_is_said_and_not_raised(account: EmulatedAccount) -> None:
    found = _find()
    assert found.problems == []
    assert found.notes == [
        *(f"pipeline {name}: not deployed" for name in ("train", "tune", "retrain", "transform")),
        *(f"state machine {name}: not deployed" for name in ("deploy", "classify", "classify-prefix", "monitor")),
        "no endpoint is deployed",
        "results of the classification: not deployed",
        "queues: not deployed",
    ]


def test_a_failed_execution_with_its_step(account: EmulatedAccount) -> None:
    sagemaker = account.client("sagemaker")
    sagemaker.create_pipeline(
        PipelineName="imgpipe-dev-train", PipelineDefinition="{}", RoleArn=ROLE, ClientRequestToken="x" * 32
    )
    arns = [
        sagemaker.start_pipeline_execution(PipelineName="imgpipe-dev-train")["PipelineExecutionArn"] for _ in range(2)
    ]
    steps = [
        {"StepName": "Resolve", "StepStatus": "Succeeded"},
        {"StepName": "Train", "StepStatus": "Failed", "FailureReason": "AlgorithmError:\nout of memory"},
    ]
    account.job_states.execution(arns[0], status="Failed", failure_reason="Step failure", steps=steps)
    account.job_states.execution(arns[1], status="Succeeded", failure_reason=None, steps=[])
    execution = arns[0].rsplit("/", 1)[-1]
    assert _only(_find()) == (
        "pipeline train",
        "step Train: AlgorithmError: out of memory",
        f"imgpipe status {execution} --pipeline train --env dev",
    )
    assert _find(since=NOW + timedelta(hours=1)).problems == []


def test_a_failed_state_machine_with_error_and_cause(account: EmulatedAccount) -> None:
    states = account.client("stepfunctions")
    definition = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "SmokeTestFailed", "Cause": "label 3"}}}
    machine = states.create_state_machine(name="imgpipe-dev-deploy", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    _wait_for(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
    source, reason, more = _only(_find())
    assert (source, reason) == ("state machine deploy", "SmokeTestFailed: label 3")
    assert more.endswith(f"--execution-arn {arn}")
    assert "state machine deploy: not deployed" not in _find().notes


def _wait_for(ready: Any) -> None:
    import threading
    import time

    give_up = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < give_up
        threading.Event().wait(0.05)


def test_the_endpoints_state_and_its_log(account: EmulatedAccount) -> None:
    sagemaker, logs = account.client("sagemaker"), account.client("logs")
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="imgpipe-dev", EndpointConfigName="c")
    assert "log of endpoint imgpipe-dev: not deployed" in _find().notes
    group = "/aws/sagemaker/Endpoints/imgpipe-dev"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="AllTraffic/i-1")
    lines = [REFUSED, REFUSED, {**REFUSED, "status": 200}, {"level": "error", "message": "no\nmemory"}]
    stamp = int(NOW.timestamp() * 1000)
    events = [{"timestamp": stamp, "message": json.dumps(line)} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName="AllTraffic/i-1", logEvents=events)
    found = _find()
    assert {(problem.source, problem.reason) for problem in found.problems} == {
        ("endpoint imgpipe-dev", "2 times: status 400 not_an_image"),
        ("endpoint imgpipe-dev", "no memory"),
    }
    assert group in found.problems[0].more


def test_queues_are_looked_into_and_nothing_is_taken_or_hidden(account: EmulatedAccount) -> None:
    sqs = account.client("sqs")
    failures = sqs.create_queue(QueueName="imgpipe-dev-classify-failures")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=failures, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    review = sqs.create_queue(QueueName="imgpipe-dev-review", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    sqs.create_queue(QueueName="somebody-elses")
    sqs.send_message(QueueUrl=failures, MessageBody=json.dumps({"s3_key": "a.jpg", "error": "not_an_image"}))
    sqs.send_message(QueueUrl=review, MessageBody="look at me")
    for _ in range(2):  # the first look has changed nothing
        found = _find()
        assert _only(found)[:2] == ("queue imgpipe-dev-classify-failures", "a.jpg: not_an_image")
        assert [note.split(": aws")[0] for note in found.notes if note.startswith("queue")] == [
            "queue imgpipe-dev-review: 1 waiting"
        ]
    [message] = sqs.receive_message(QueueUrl=review, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def _results(account: EmulatedAccount, *results: tuple[str, str, timedelta]) -> None:
    """The table of results with an item for each key, status and age."""
    dynamodb = account.client("dynamodb")
    dynamodb.create_table(
        TableName="imgpipe-dev-results",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for key, status, age in results:
        texts = {"id": f"id of {key}", "s3_key": key, "status": status, "label": "bee"}
        time = (NOW - age).isoformat(timespec="seconds")
        item = {name: {"S": text} for name, text in {**texts, "classified_at": time}.items()}
        dynamodb.put_item(TableName="imgpipe-dev-results", Item={**item, "confidence": {"N": "0.4375"}})


def test_unsure_results_of_the_time_are_listed(account: EmulatedAccount) -> None:
    short, long = timedelta(minutes=5), timedelta(hours=2)
    _results(
        account,
        ("unsure.jpg", "THRESHOLD_CONFIDENCE_NOT_MET", short),
        ("older.jpg", "THRESHOLD_CONFIDENCE_NOT_MET", long),
        ("sure.jpg", "ACCEPTED", short),
    )
    source, reason, more = _only(_find())
    assert (source, reason) == ("classification, for review", "unsure.jpg: bee with 0.438 is not sure enough")
    assert '"id of unsure.jpg"' in more
    assert len(_find(since=NOW - timedelta(days=1)).problems) == 2


def test_of_many_unsure_results_the_newest_are_listed(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsure_results, "_MOST_LISTED", 2)
    status = "THRESHOLD_CONFIDENCE_NOT_MET"
    _results(account, *((f"{minutes}.jpg", status, timedelta(minutes=minutes)) for minutes in (3, 1, 2)))
    found = _find()
    assert [problem.reason.split(":")[0] for problem in found.newest_first()] == ["1.jpg", "2.jpg"]
    assert "table imgpipe-dev-results: 3 results were not sure enough, the newest 2 are listed" in found.notes


def test_what_waits_is_not_nothing(account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    sqs = account.client("sqs")
    dead = sqs.create_queue(QueueName="imgpipe-dev-review-failures")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    review = sqs.create_queue(QueueName="imgpipe-dev-review", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    said = CliRunner().invoke(app, ["errors"]).stdout
    assert "where it could be looked." in said
    sqs.send_message(QueueUrl=review, MessageBody="look at me")
    said = CliRunner().invoke(app, ["errors"]).stdout
    assert "where it could be looked, but the queues are not empty." in said
    assert "queue imgpipe-dev-review: 1 waiting" in said


def test_lines_of_other_programs_are_no_errors() -> None:
    lines = [(NOW, text) for text in ("plain text", "[1, 2]", '{"status": "bad"}', '{"level": "info", "status": 200}')]
    assert list(refused_requests(lines, source="x", more="y")) == []


def _summary(home: Path, run: str, **content: Any) -> Path:
    path = home / "runs" / run / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pipeline": "train", "status": "Failed", "failure_reason": None} | content))
    return path


def test_failed_local_runs_and_the_local_endpoints_log(tmp_path: Path) -> None:
    _summary(tmp_path, "one", failure_reason="Step Train failed: no")
    _summary(tmp_path, "two", status="Succeeded")
    old = _summary(tmp_path, "old", failure_reason="long ago")
    os.utime(old, (NOW.timestamp() - 7200, NOW.timestamp() - 7200))
    (tmp_path / "runs" / "latest").symlink_to("one")
    log = tmp_path / "endpoints" / "dev" / "fleets" / "v1" / "serve.log"
    log.parent.mkdir(parents=True)
    ancient = {**REFUSED, "time": (NOW - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.123Z"), "code": "ancient"}
    log.write_text("".join(json.dumps(line) + "\n" for line in (ancient, REFUSED)))
    found = find_local(tmp_path, "dev", HOUR_AGO)
    assert {(problem.source, problem.reason) for problem in found.problems} == {
        ("local run, pipeline train", "Step Train failed: no"),
        ("local endpoint", "status 400 not_an_image"),
    }
    assert found.notes == []


def test_local_errors_are_those_of_the_environment(tmp_path: Path) -> None:
    _summary(tmp_path, "one", failure_reason="mine", environment="dev")
    _summary(tmp_path, "two", failure_reason="theirs", environment="prod")
    for environment in ("dev", "prod"):
        directory = endpoint_directory(tmp_path, environment)
        directory.mkdir(parents=True)
        note_deployment(directory, version=2, failure=None)
        note_deployment(directory, version=3, failure=json.dumps({"errorMessage": f"{environment} lost\nits model"}))
    found = find_local(tmp_path, "dev", HOUR_AGO)
    assert {(problem.source, problem.reason) for problem in found.problems} == {
        ("local run, pipeline train", "mine"),
        ("local deployment of version 3", "dev lost its model"),
    }
    assert find_local(tmp_path, "dev", NOW + timedelta(hours=1)).problems == [], "what is older is left out"


def test_the_command_shows_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "HOME", tmp_path)
    for run, age in (("one", 60), ("two", 30), ("three", 90)):
        path = _summary(tmp_path, run, failure_reason=f"reason [{run}]")
        os.utime(path, (NOW.timestamp() - age, NOW.timestamp() - age))
    result = CliRunner().invoke(app, ["errors", "--local", "--since", "2d"])
    assert result.exit_code == 0
    reasons = [line.strip() for line in result.stdout.splitlines() if "reason" in line]
    assert reasons == ["reason [two]", "reason [one]", "reason [three]"]
    assert "(no local endpoint of environment dev)" in result.stdout


def test_the_command_says_where_nothing_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "HOME", tmp_path)
    result = CliRunner().invoke(app, ["errors", "--local"])
    assert "Nothing went wrong in the last 1h" in result.stdout
    assert "(no local run yet)" in result.stdout
