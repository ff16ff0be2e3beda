"""The emulated account: added resource types, functions that really run, nothing that leads out of it."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from small_pipeline import Laboratory

from local.assembly import CloudAssembly, FileAsset, Stack
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.cloudformation import refuse_unknown_types
from local.errors import LocalRunError

ROLE = "arn:aws:iam::123456789012:role/function"


def template(description: str) -> dict[str, Any]:
    return {
        "Resources": {
            "Group": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {"ModelPackageGroupName": "group", "ModelPackageGroupDescription": description},
            },
            "Pipeline": {
                "Type": "AWS::SageMaker::Pipeline",
                "Properties": {
                    "PipelineName": "pipe",
                    "RoleArn": ROLE,
                    "PipelineDefinition": {"PipelineDefinitionBody": json.dumps({"text": description})},
                    "ParallelismConfiguration": {"MaxParallelExecutionSteps": 3},
                },
            },
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "bucket"}},
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {}},
            },
            "Empty": {"Type": "Custom::S3AutoDeleteObjects", "Properties": {"ServiceToken": "arn"}},
            "Versions": {"Type": "Custom::ModelPackageVersions", "Properties": {"ServiceToken": "arn"}},
        },
        "Outputs": {
            "GroupArn": {"Value": {"Fn::GetAtt": ["Group", "ModelPackageGroupArn"]}},
            "Group": {"Value": {"Ref": "Group"}},
            "Pipeline": {"Value": {"Ref": "Pipeline"}},
        },
    }


def deploy(account: EmulatedAccount, name: str, content: dict[str, Any]) -> dict[str, str]:
    stack = Stack(name=name, account=None, region="us-east-1", template=content)
    return account.deploy(CloudAssembly(stacks=(stack,), files=(), images=()))


def test_added_types_are_created_updated_and_deleted(account: EmulatedAccount) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/group"
    assert deploy(account, "stack", template("one")) == {"GroupArn": arn, "Group": arn, "Pipeline": "pipe"}
    sagemaker, cloudformation = account.client("sagemaker"), account.client("cloudformation")
    described = sagemaker.describe_pipeline(PipelineName="pipe")
    assert json.loads(described["PipelineDefinition"]) == {"text": "one"}
    assert described["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}

    cloudformation.update_stack(StackName="stack", TemplateBody=json.dumps(template("two")))
    assert json.loads(sagemaker.describe_pipeline(PipelineName="pipe")["PipelineDefinition"]) == {"text": "two"}
    group = sagemaker.describe_model_package_group(ModelPackageGroupName="group")
    assert (group["ModelPackageGroupDescription"], group["ModelPackageGroupArn"]) == ("two", arn)

    cloudformation.delete_stack(StackName="stack")
    assert sagemaker.list_pipelines()["PipelineSummaries"] == []
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_a_definition_that_does_not_parse_is_refused(account: EmulatedAccount) -> None:
    content = template("one")
    content["Resources"]["Pipeline"]["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"] = "{"
    with pytest.raises((LocalRunError, ClientError, ValueError)):
        deploy(account, "stack", content)


def test_an_unknown_type_is_named_before_anything_is_created(account: EmulatedAccount) -> None:
    content = template("one")
    content["Resources"]["Odd"] = {"Type": "AWS::SageMaker::Cluster", "Properties": {}}
    with pytest.raises(LocalRunError, match="stack odd: Odd is a AWS::SageMaker::Cluster, which the local emulator"):
        deploy(account, "odd", content)
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []


def test_an_unknown_custom_resource_is_refused() -> None:
    with pytest.raises(LocalRunError, match="Custom::Anything"):
        refuse_unknown_types("s", {"Resources": {"A": {"Type": "Custom::Anything"}}})
    refuse_unknown_types("s", {"Resources": {"A": {"Type": "AWS::CDK::Metadata"}}})


def test_file_assets_are_published(account: EmulatedAccount, tmp_path: Path) -> None:
    (tmp_path / "code" / "inner").mkdir(parents=True)
    (tmp_path / "code" / "inner" / "a.py").write_text("a = 1")
    (tmp_path / "data.json").write_text("{}")
    bucket = "cdk-${AWS::AccountId}-${AWS::Region}"
    files = (
        FileAsset(source=tmp_path / "code", packaging="zip", bucket=bucket, key="code.zip"),
        FileAsset(source=tmp_path / "data.json", packaging="file", bucket=bucket, key="data.json"),
    )
    account.deploy(CloudAssembly(stacks=(), files=files, images=()))
    s3 = account.client("s3")
    zipped = s3.get_object(Bucket="cdk-123456789012-us-east-1", Key="code.zip")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(zipped)).namelist() == ["inner/a.py"]
    assert s3.get_object(Bucket="cdk-123456789012-us-east-1", Key="data.json")["Body"].read() == b"{}"


def create_function(account: EmulatedAccount, code: str, *, timeout: int = 30) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", f"import json, os, sys\ndef handler(event, context):\n    {code}\n")
    # moto checks that the role exists.
    role = account.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return str(
        account.client("lambda").create_function(
            FunctionName="function",
            Runtime="python3.13",
            Role=role,
            Handler="handler.handler",
            Code={"ZipFile": buffer.getvalue()},
            Timeout=timeout,
            Environment={"Variables": {"PLACE": "here"}},
        )["FunctionArn"]
    )


def invoke(account: EmulatedAccount, event: Any) -> tuple[Any, dict[str, Any]]:
    answer = account.client("lambda").invoke(FunctionName="function", Payload=json.dumps(event), LogType="Tail")
    return json.loads(answer["Payload"].read()), answer


def test_a_function_runs_its_own_code(account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_USER", "secret")
    create_function(
        account,
        "print('hello'); return {'event': event, 'place': os.environ['PLACE'], 'leaks': 'OF_THE_USER' in os.environ}",
    )
    payload, answer = invoke(account, {"a": 1})
    assert payload == {"event": {"a": 1}, "place": "here", "leaks": False}
    assert "FunctionError" not in answer
    assert base64.b64decode(answer["LogResult"]) == b"hello\n"


def test_a_function_reaches_the_same_account(account: EmulatedAccount, tmp_path: Path) -> None:
    account.client("s3").create_bucket(Bucket="shared-bucket")
    (tmp_path / "a").write_text("content")
    account.objects.put("shared-bucket", "a", tmp_path / "a")
    create_function(
        account,
        "import boto3; s3 = boto3.client('s3'); s3.put_object(Bucket='shared-bucket', Key='b', Body=b'x'); "
        "return s3.get_object(Bucket='shared-bucket', Key='a')['Body'].read().decode()",
    )
    assert invoke(account, {})[0] == "content"
    assert sorted(account.objects.keys("shared-bucket", "")) == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("raise ValueError('no such folder')", "ValueError", "no such folder"),
        ("os._exit(3)", "Runtime.ExitError", "Runtime exited with exit status 3"),
        ("return {1, 2}", "TypeError", "Object of type set is not JSON serializable"),
    ],
)
def test_what_a_failing_function_answers(account: EmulatedAccount, code: str, kind: str, message: str) -> None:
    create_function(account, code)
    payload, answer = invoke(account, {})
    assert answer["FunctionError"] == "Unhandled"
    assert payload == {"errorType": kind, "errorMessage": message}


def test_a_function_that_takes_too_long(account: EmulatedAccount) -> None:
    create_function(account, "import signal; print('waiting', flush=True); signal.pause()", timeout=1)
    payload, answer = invoke(account, {})
    assert payload == {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 1 seconds"}
    assert answer["FunctionError"] == "Unhandled"


def test_a_function_is_kept_warm_until_it_takes_too_long(account: EmulatedAccount) -> None:
    """What a module holds lasts from one invocation to the next; what was printed belongs to one of them."""
    code = "print(event); signal.pause() if event == 'wait' else None; return os.getpid()"
    create_function(account, f"import signal; {code}", timeout=1)
    first, second = invoke(account, "a"), invoke(account, "b")
    assert first[0] == second[0]
    assert base64.b64decode(second[1]["LogResult"]) == b"b\n"
    assert invoke(account, "wait")[0]["errorType"] == "Sandbox.Timedout"
    assert invoke(account, "c")[0] not in (first[0], None)


def test_events_at_the_same_time_have_processes_of_their_own(account: EmulatedAccount, tmp_path: Path) -> None:
    """Each writes its number and waits to see the other's."""
    code = f"d = {str(tmp_path)!r}; open(f'{{d}}/{{event}}', 'w').close()\n    while len(os.listdir(d)) < 2: pass"
    create_function(account, f"{code}\n    return os.getpid()")
    with ThreadPoolExecutor(2) as pool:
        found = {payload for payload, _ in pool.map(functools.partial(invoke, account), ("a", "b"))}
    assert len(found) == 2
    assert all(isinstance(number, int) for number in found)


def test_no_process_of_a_function_outlives_the_account() -> None:
    with emulated_account(region="us-east-1") as opened:
        create_function(opened, "return os.getpid()")
        number, _ = invoke(opened, {})
        assert psutil.pid_exists(number)
    assert not psutil.pid_exists(number)


def lambda_step(arn: str, kind: str) -> dict[str, Any]:
    return {
        "Name": "Ask",
        "Type": "Lambda",
        "FunctionArn": arn,
        "Arguments": {"question": "why"},
        "OutputParameters": [{"OutputName": "answer", "OutputType": kind}],
    }


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("return {'answer': 'because'}", "String", None),
        ("return {'answer': 42}", "Float", None),
        ("return {'answer': True}", "Boolean", None),
        ("raise ValueError(event['question'])", "String", "why"),
        ("return {'answer': 42}", "String", "the function answered 42 for output answer, declared as String"),
        ("return {'answer': True}", "Integer", "the function answered True for output answer, declared as Integer"),
        ("return {'other': 1}", "Integer", "the function's answer lacks output answer, declared as Integer"),
        ("return 'because'", "String", "the function's answer lacks output answer, declared as String"),
    ],
)
def test_a_lambda_step(laboratory: Laboratory, code: str, kind: str, reason: str | None) -> None:
    arn = create_function(laboratory.account, f"print('log line'); {code}")
    result = laboratory.run([lambda_step(arn, kind)])
    assert result.step("Ask").failure_reason == reason
    assert "log line" in (result.directory / "logs" / "Ask.log").read_text()
    if reason is None:
        listed = laboratory.account.client("sagemaker").list_pipeline_execution_steps(
            PipelineExecutionArn=result.record.arn
        )["PipelineExecutionSteps"]
        [output] = listed[0]["Metadata"]["Lambda"]["OutputParameters"]
        assert output["Name"] == "answer"


def test_executions_are_listed_newest_first(laboratory: Laboratory) -> None:
    sagemaker = laboratory.account.client("sagemaker")
    first = laboratory.run([]).record.arn
    second = sagemaker.start_pipeline_execution(PipelineName="pipe", ClientRequestToken="x" * 32)[
        "PipelineExecutionArn"
    ]

    def listed(order: str) -> list[str]:
        answer = sagemaker.list_pipeline_executions(PipelineName="pipe", SortBy="CreationTime", SortOrder=order)
        return [item["PipelineExecutionArn"] for item in answer["PipelineExecutionSummaries"]]

    assert listed("Descending") == [second, first]
    assert listed("Ascending") == [first, second]


def test_the_account_is_gone_after_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated_account(region="us-east-1") as account:
        account.client("s3").create_bucket(Bucket="mine")
    with emulated_account(region="us-east-1") as account:
        assert account.client("s3").list_buckets()["Buckets"] == []
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BotoCoreError):
        boto3.Session(region_name="us-east-1").client("s3").list_buckets()


def test_the_users_configuration_is_hidden_and_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with emulated_account(region="eu-west-1") as account:
        assert account.client("sts").get_caller_identity()["Account"] == "123456789012"
        account.client("s3").list_buckets()
    assert {name: value for name, value in os.environ.items() if name.startswith("AWS_")} == before


def test_no_network_is_needed(monkeypatch: pytest.MonkeyPatch, account: EmulatedAccount) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        if not str(address[0]).startswith(("127.", "::1", "localhost")):
            raise AssertionError(f"connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    deploy(account, "stack", template("one"))
    account.client("s3").put_object(Bucket="bucket", Key="a", Body=b"x")
