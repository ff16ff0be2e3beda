"""State machines in the emulated account: waits, functions, SDK calls, maps over a prefix, processing jobs."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.executions import EndedExecution, execute, executions, follow
from local.errors import LocalRunError

ROLE = "arn:aws:iam::123456789012:role/machine"
SDK = "arn:aws:states:::aws-sdk"


def machine(account: EmulatedAccount, states: Mapping[str, Any], name: str = "machine") -> str:
    definition = {"StartAt": next(iter(states)), "States": states}
    client = account.client("stepfunctions")
    return str(
        client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
    )


def run(
    account: EmulatedAccount, states: Mapping[str, Any], content: Mapping[str, Any] | None = None
) -> EndedExecution:
    return execute(account, machine(account, states), content or {})


def function(account: EmulatedAccount, code: str) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", code)
    account.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument="{}")
    arn: str = account.client("lambda").create_function(
        FunctionName="function",
        Runtime="python3.11",
        Role="arn:aws:iam::123456789012:role/function",
        Handler="handler.handler",
        Code={"ZipFile": buffer.getvalue()},
    )["FunctionArn"]
    return arn


def test_an_hour_of_waiting_and_of_retries_takes_moments() -> None:
    states = {
        "Wait": {"Type": "Wait", "Seconds": 3600, "Next": "Describe"},
        "Describe": {
            "Type": "Task",
            "Resource": f"{SDK}:sagemaker:describeEndpoint",
            "Parameters": {"EndpointName": "e"},
            "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 600, "MaxAttempts": 2}],
            "End": True,
        },
    }
    with emulated_account(region="us-east-1", clock=Clock(scale=0.0001)) as account:
        began = time.monotonic()
        ended = run(account, states)
        assert time.monotonic() - began < 60
    assert (ended.status, ended.error) == ("FAILED", "SageMaker.SageMakerException")
    assert ended.states == ["Wait", "Describe"]


def test_state_machines_of_a_stack_run_and_their_ends_are_told(account: EmulatedAccount) -> None:
    definition = {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "Broken", "Cause": "because"}}}
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {"StateMachineName": "m", "RoleArn": ROLE, "DefinitionString": json.dumps(definition)},
            },
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "failures"}},
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "State": "ENABLED",
                    "EventPattern": {"source": ["aws.states"], "detail": {"status": ["FAILED"]}},
                    "Targets": [{"Id": "1", "Arn": {"Ref": "Topic"}, "InputPath": "$.detail.name"}],
                },
            },
        }
    }
    account.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
    [listed] = account.client("stepfunctions").list_state_machines()["stateMachines"]
    ended = execute(account, listed["stateMachineArn"], {})
    assert (ended.status, ended.error, ended.cause) == ("FAILED", "Broken", "because")
    name = ended.arn.rsplit(":", 1)[-1]
    assert account.notifications("arn:aws:sns:us-east-1:123456789012:failures") == [("", name)]


def test_functions_run_their_zip_by_either_kind_of_resource(account: EmulatedAccount) -> None:
    arn = function(account, "def handler(event, context):\n    return {'doubled': event['n'] * 2}\n")
    invoke = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": arn, "Payload": {"n.$": "$.n"}},
        "ResultPath": "$.invoked",
        "Next": "Direct",
    }
    direct = {"Type": "Task", "Resource": arn, "ResultPath": "$.direct", "End": True}
    ended = run(account, {"Invoke": invoke, "Direct": direct}, {"n": 4})
    assert ended.output["invoked"]["Payload"] == {"doubled": 8}
    assert ended.output["direct"] == {"doubled": 8}


def test_an_exception_of_a_function_is_an_error_of_its_name(account: EmulatedAccount) -> None:
    arn = function(account, "def handler(event, context):\n    raise ValueError('no image')\n")
    catch = [{"ErrorEquals": ["ValueError"], "ResultPath": "$.error", "Next": "Caught"}]
    states = {
        "Ask": {"Type": "Task", "Resource": arn, "Catch": catch, "End": True},
        "Caught": {"Type": "Pass", "End": True},
    }
    ended = run(account, states)
    assert ended.states == ["Ask", "Caught"]
    assert json.loads(ended.output["error"]["Cause"])["errorMessage"] == "no image"


def test_answers_of_the_sdk_are_json_and_errors_are_named_after_the_service(account: EmulatedAccount) -> None:
    account.client("s3").create_bucket(Bucket="bucket")
    catch = [{"ErrorEquals": ["S3.NoSuchKeyException"], "ResultPath": "$.missing", "Next": "List"}]
    put = {"Bucket": "bucket", "Key": "a.json", "Body": {"n": 1}}
    states = {
        "Put": {
            "Type": "Task",
            "Resource": f"{SDK}:s3:putObject",
            "Parameters": put,
            "ResultPath": None,
            "Next": "Get",
        },
        "Get": {
            "Type": "Task",
            "Resource": f"{SDK}:s3:getObject",
            "Parameters": {"Bucket": "bucket", "Key": "a.json"},
            "ResultSelector": {"file.$": "States.StringToJson($.Body)", "changed.$": "$.LastModified"},
            "ResultPath": "$.got",
            "Next": "Miss",
        },
        "Miss": {
            "Type": "Task",
            "Resource": f"{SDK}:s3:getObject",
            "Parameters": {"Bucket": "bucket", "Key": "b.json"},
            "Catch": catch,
            "End": True,
        },
        "List": {"Type": "Pass", "Parameters": {"got.$": "$.got", "started.$": "$$.Execution.StartTime"}, "End": True},
    }
    output = run(account, states).output
    assert output["got"]["file"] == {"n": 1}
    assert output["got"]["changed"].endswith("Z")
    assert output["started"].endswith("Z")


def test_a_request_that_the_service_would_refuse_fails(account: EmulatedAccount) -> None:
    call = {"Type": "Task", "Resource": f"{SDK}:sagemaker:createModel", "Parameters": {"ModelName": 3}, "End": True}
    ended = run(account, {"Create": call})
    assert ended.status == "FAILED"
    assert "Invalid type for parameter ModelName" in str(ended.cause)


def distributed(prefix: str, resource: str, **options: Any) -> dict[str, Any]:
    inner = {"StartAt": "Item", "States": {"Item": {"Type": "Task", "Resource": resource, "End": True}}}
    return {
        "Map": {
            "Type": "Map",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:listObjectsV2",
                "Parameters": {"Bucket": "bucket", "Prefix": prefix},
            },
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **inner},
            "MaxConcurrency": 2,
            "End": True,
            **options,
        }
    }


@pytest.fixture
def prefix(account: EmulatedAccount) -> str:
    account.client("s3").create_bucket(Bucket="bucket")
    for name in "abc":
        account.client("s3").put_object(Bucket="bucket", Key=f"in/{name}", Body=b"x")
    return function(
        account, "def handler(event, context):\n    assert event['Key'] != 'in/b', 'b'\n    return event['Key']\n"
    )


def test_a_distributed_map_goes_over_every_object_of_a_prefix(account: EmulatedAccount, prefix: str) -> None:
    ended = run(account, distributed("in/", prefix, ToleratedFailurePercentage=50))
    assert ended.status == "SUCCEEDED"
    assert [item for item in ended.output if item] == ["in/a", "in/c"]


def test_more_failures_than_it_tolerates_fail_a_distributed_map(account: EmulatedAccount, prefix: str) -> None:
    ended = run(account, distributed("in/", prefix, ToleratedFailurePercentage=20))
    assert ended.error == "States.ExceedToleratedFailureThreshold"


def test_a_distributed_map_over_nothing_has_no_items(account: EmulatedAccount, prefix: str) -> None:
    assert run(account, distributed("nothing/", prefix)).output == []


class Jobs:
    """Completes each job, or fails those whose name says so."""

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account

    def run(self, name: str, request: Mapping[str, Any]) -> None:
        self.account.client("sagemaker").create_processing_job(ProcessingJobName=name, **request)
        status = "Failed" if "bad" in name else "Completed"
        self.account.job_states.processing(name, status="InProgress")
        self.account.job_states.processing(name, status=status, failure_reason="it was bad" if "bad" in name else None)


def job(name: str) -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    request = {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": "image:tag"},
        "ProcessingResources": {"ClusterConfig": cluster},
    }
    resource = "arn:aws:states:::sagemaker:createProcessingJob.sync"
    return {"Job": {"Type": "Task", "Resource": resource, "Parameters": request, "End": True}}


def test_a_processing_job_is_awaited(account: EmulatedAccount) -> None:
    account.processing_jobs = Jobs(account)
    assert run(account, job("good")).output["ProcessingJobStatus"] == "Completed"


def test_a_failed_or_doubled_processing_job_fails_its_state(account: EmulatedAccount) -> None:
    account.processing_jobs = Jobs(account)
    arn = machine(account, job("bad"))
    ended = execute(account, arn, {})
    assert ended.error == "States.TaskFailed"
    assert json.loads(str(ended.cause))["FailureReason"] == "it was bad"
    assert execute(account, arn, {}).error == "SageMaker.AmazonSageMakerException"


def test_without_containers_a_processing_job_is_an_error_not_a_success(account: EmulatedAccount) -> None:
    assert "no containers" in str(run(account, job("any")).cause)


def test_what_still_runs_ends_with_the_account() -> None:
    with emulated_account(region="us-east-1", clock=Clock(scale=1, longest=3600)) as account:
        arn = machine(account, {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}})
        started = account.client("stepfunctions").start_execution(stateMachineArn=arn)["executionArn"]
        assert executions(account, arn) == [started]
        with pytest.raises(LocalRunError, match="still runs after 0"):
            follow(account, started, timeout_seconds=0)


def test_the_account_is_gone_afterwards() -> None:
    with emulated_account(region="us-east-1") as first:
        machine(first, {"A": {"Type": "Pass", "End": True}})
    with emulated_account(region="us-east-1") as second:
        assert second.client("stepfunctions").list_state_machines()["stateMachines"] == []
        with pytest.raises(ClientError):
            second.client("stepfunctions").describe_execution(
                executionArn="arn:aws:states:us-east-1:123456789012:execution:machine:x"
            )
