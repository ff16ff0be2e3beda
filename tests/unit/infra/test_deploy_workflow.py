"""The deployment machine, executed: every way through it, against a SageMaker that follows a script.

Every request is checked against botocore's model of the service, as the real one would.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from infra.workflows.deploy import DeployNames, deploy_machine
from infra.workflows.deployment.requests import deployment_hash, settings_hash

REGION, ACCOUNT = "us-east-1", "123456789012"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
BUCKET = "imgpipe-dev-artifacts"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/endpoint"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:imgpipe-dev-notifications"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:deploy"
MOST_LOOKS = 8
SAMPLE = {
    "schema_version": 1,
    "content_type": "application/json",
    "body": json.dumps(["aGVsbG8="]),
    "label": "bicycle",
    "index": 0,
    "probability": 0.99,
}


def settings(**serving) -> EnvironmentSettings:
    """Settings of dev with other ones of its endpoint."""
    dev = load_environment("dev")
    return EnvironmentSettings.model_validate(dev.model_dump() | {"serving": serving, "tags": {"team": "vision"}})


def definition(of: EnvironmentSettings) -> dict:
    names = DeployNames(
        partition="aws",
        model_package_group=of.prefix,
        endpoint_role_arn=ROLE,
        artifact_bucket=BUCKET,
        topic_arn=TOPIC,
        error_alarm="errors",
        latency_alarm="latency",
        smoke_alarm="smoke",
    )
    return deploy_machine(of, names)


def shortened(machine: dict) -> dict:
    """The machine with loops that end sooner, for speed; of the real bounds there is a test of its own."""
    for state in machine["States"].values():
        for rule in state.get("Choices", []):
            if rule.get("NumericGreaterThan", 0) > MOST_LOOKS:
                rule["NumericGreaterThan"] = MOST_LOOKS
    return machine


def targets(state: dict) -> set[str]:
    """Where a state can lead to."""
    found = {state.get("Next"), state.get("Default")}
    for rule in state.get("Catch", []) + state.get("Choices", []):
        found.add(rule["Next"])
    return found - {None}


class Account:
    """What the machine's calls meet; endpoints take one status of their script with each look.

    Answers lack what is empty, as those of an SDK may.
    """

    def __init__(self, of: EnvironmentSettings) -> None:
        self.settings = of
        self.calls: list[tuple[str, dict]] = []
        self.versions: dict[int, dict] = {}
        self.models: dict[str, dict] = {}
        self.configurations: dict[str, dict] = {}
        self.endpoint: dict | None = None
        self.tags: dict[str, str] = {}
        # Statuses after the next creation or update, and whether the new configuration is what it ends with.
        self.script: list[str] = ["Creating", "InService"]
        self.lands = True
        self.reason: str | None = None
        self.ringing: list[str] = []
        self.denied: dict[str, str] = {}
        # Errors of the next calls of an action.
        self.failing: dict[str, list[str]] = {}
        self.hooks: dict[str, Callable[[], None]] = {}
        self.answers: Callable[[str], dict | str] = self.answer
        self._pending: list[str] = []
        self._before: str | None = None

    # what a test prepares and asks

    def register(self, version: int, status: str = "Approved", **metadata: str) -> str:
        """A version of the group; returns its ARN."""
        arn = f"{ARN}:model-package/{self.settings.prefix}/{version}"
        facts = {
            "sample_uri": f"s3://{BUCKET}/models/run{version}/serving/sample.json",
            "sample_label": "bicycle",
            "image_shape": "3,64,64",
        }
        self.versions[version] = {"arn": arn, "status": status, "metadata": facts | metadata}
        sample = json.dumps(SAMPLE)
        boto3.client("s3").put_object(Bucket=BUCKET, Key=f"models/run{version}/serving/sample.json", Body=sample)
        return arn

    def name(self, version: int) -> str:
        return f"{self.settings.prefix}-v{version}-{settings_hash(self.settings)}"

    def serve(self, version: int, status: str = "InService", *, name: str | None = None) -> None:
        """There is an endpoint, and it serves this version."""
        name = name or self.name(version)
        self.models[name] = {"PrimaryContainer": {"ModelPackageName": self.versions[version]["arn"]}}
        self.configurations[name] = {"ProductionVariants": [{"ModelName": name, "InstanceType": "ml.c5.large"}]}
        self.endpoint = {"EndpointStatus": status, "EndpointConfigName": name}
        self.tags = {"imgpipe:deployed-by-execution-of": "2026-01-01T00:00:00.000Z"}

    def called(self, action: str) -> list[dict]:
        return [parameters for name, parameters in self.calls if name == action]

    def serving(self) -> str | None:
        return self.endpoint and self.endpoint["EndpointConfigName"]

    def mails(self) -> list[str]:
        return [f"{mail['Subject']}: {mail['Message']}" for mail in self.called("sns:publish")]

    def answer(self, model: str) -> dict | str:
        """What the model of this name answers to the sample."""
        return {"predictions": [{"label": "bicycle", "probability": 0.98}], "model": {"name": model}}

    # the services

    def call(self, action: str, parameters: dict) -> dict | None:
        self.calls.append((action, parameters))
        if action in self.hooks:
            self.hooks.pop(action)()
        if action in self.denied:
            raise error(action, self.denied[action])
        if self.failing.get(action):
            raise error(action, self.failing[action].pop(0))
        service, operation = action.split(":")
        method = getattr(self, f"{service}_{operation}", None)
        assert method or service in ("s3", "sns", "cloudwatch", "applicationautoscaling"), action
        return method(**parameters) if method else None

    def sagemaker_describeModelPackage(self, ModelPackageName):  # noqa: N802, N803
        (version,) = [item for item in self.versions.items() if item[1]["arn"] == ModelPackageName]
        number, facts = version
        metadata = {"CustomerMetadataProperties": facts["metadata"]} if facts["metadata"] else {}
        return {
            "ModelPackageArn": facts["arn"],
            "ModelPackageVersion": number,
            "ModelApprovalStatus": facts["status"],
            **metadata,
            "CreationTime": datetime(2026, 1, number, tzinfo=timezone.utc),
        }

    def sagemaker_listModelPackages(self, ModelApprovalStatus, SortOrder, **_rest):  # noqa: N802, N803
        assert SortOrder == "Descending"
        found = [facts for _, facts in sorted(self.versions.items(), reverse=True)]
        summaries = [{"ModelPackageArn": item["arn"]} for item in found if item["status"] == ModelApprovalStatus]
        return {"ModelPackageSummaryList": summaries} if summaries else {}

    def sagemaker_describeModel(self, ModelName):  # noqa: N802, N803
        return found(self.models, ModelName, "model")

    def sagemaker_createModel(self, ModelName, **request):  # noqa: N802, N803
        if ModelName in self.models:
            raise error("CreateModel", f'Cannot create already existing model "{ARN}:model/{ModelName}".')
        self.models[ModelName] = request
        return {"ModelArn": f"{ARN}:model/{ModelName}"}

    def sagemaker_describeEndpointConfig(self, EndpointConfigName):  # noqa: N802, N803
        return found(self.configurations, EndpointConfigName, "endpoint configuration")

    def sagemaker_createEndpointConfig(self, EndpointConfigName, **request):  # noqa: N802, N803
        self.configurations[EndpointConfigName] = request
        return {"EndpointConfigArn": f"{ARN}:endpoint-config/{EndpointConfigName}"}

    def sagemaker_describeEndpoint(self, EndpointName):  # noqa: N802, N803
        assert EndpointName == self.settings.endpoint_name
        if self._pending:
            self._take(self._pending.pop(0))
        if self.endpoint is None:
            raise error("DescribeEndpoint", f'Could not find endpoint "{ARN}:endpoint/{EndpointName}".')
        return {"EndpointArn": f"{ARN}:endpoint/{EndpointName}", "EndpointName": EndpointName, **self.endpoint}

    def _take(self, status: str) -> None:
        if status == "Gone":
            self.endpoint = None
            return
        assert self.endpoint
        self.endpoint["EndpointStatus"] = status
        if not self._pending and not self.lands and self._before:
            self.endpoint["EndpointConfigName"] = self._before
        if not self._pending and self.reason:
            self.endpoint["FailureReason"] = self.reason

    def sagemaker_createEndpoint(self, EndpointName, EndpointConfigName, Tags):  # noqa: N802, N803
        assert self.endpoint is None
        assert EndpointConfigName in self.configurations
        self.endpoint = {"EndpointStatus": "Creating", "EndpointConfigName": EndpointConfigName}
        self.tags = {tag["Key"]: tag["Value"] for tag in Tags}
        self._pending, self._before = list(self.script), None
        return {"EndpointArn": f"{ARN}:endpoint/{EndpointName}"}

    def sagemaker_updateEndpoint(self, EndpointName, EndpointConfigName, **_rest):  # noqa: N802, N803
        assert self.endpoint
        if self.endpoint["EndpointStatus"] != "InService":
            raise error("UpdateEndpoint", f'Cannot update in-progress endpoint "{ARN}:endpoint/{EndpointName}".')
        self._before = self.endpoint["EndpointConfigName"]
        self.endpoint = {"EndpointStatus": "Updating", "EndpointConfigName": EndpointConfigName}
        self._pending = list(self.script)
        return {"EndpointArn": f"{ARN}:endpoint/{EndpointName}"}

    def sagemaker_deleteEndpoint(self, EndpointName):  # noqa: N802, N803
        self._pending = ["Deleting", "Gone"]
        return {}

    def sagemaker_listTags(self, ResourceArn):  # noqa: N802, N803
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]} if self.tags else {}

    def sagemaker_addTags(self, ResourceArn, Tags):  # noqa: N802, N803
        self.tags |= {tag["Key"]: tag["Value"] for tag in Tags}
        return {"Tags": Tags}

    def sagemakerruntime_invokeEndpoint(self, Body, ContentType, CustomAttributes, **_rest):  # noqa: N802, N803
        assert json.loads(Body) == ["aGVsbG8="]
        assert (ContentType, CustomAttributes) == ("application/json", "verbose=true")
        assert self.endpoint
        answer = self.answers(self.endpoint["EndpointConfigName"])
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return {"Body": text, "ContentType": "application/json", "InvokedProductionVariant": "AllTraffic"}

    def cloudwatch_describeAlarms(self, AlarmNames):  # noqa: N802, N803
        states = {name: "ALARM" if name in self.ringing else "OK" for name in AlarmNames}
        return {"MetricAlarms": [{"AlarmName": name, "StateValue": state} for name, state in states.items()]}


def error(action: str, message: str, code: str = "ValidationException") -> ClientError:
    metadata = {"HTTPStatusCode": 400, "RequestId": "request-1"}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, action)


def found(among: dict[str, dict], name: str, what: str) -> dict:
    if name not in among:
        raise error("Describe", f'Could not find {what} "{ARN}:{name}".')
    return among[name]


def run_now(worker: ExecutionWorker) -> None:
    """Runs an execution where it is started; moto hands its start on as a datetime, the service as text."""
    details = worker._evaluation_details.execution_details
    details.start_time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    worker._execution_logic()


PARSE_PATH = functools.cache(json_path.parse)
PARSE = functools.cache(AmazonStateLanguageParser.parse)
SERVICES = {"sagemakerruntime": "sagemaker-runtime", "applicationautoscaling": "application-autoscaling"}


def check(action: str, parameters: dict) -> None:
    """Raises if the service's model would refuse the request."""
    service, operation = action.split(":")
    model = get_session().get_service_model(SERVICES.get(service, service))
    shape = model.operation_model(operation[0].upper() + operation[1:]).input_shape
    report = ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), f"{action}: {report.generate_report()}"


@pytest.fixture
def execute(monkeypatch) -> Iterator[Callable[..., dict]]:
    """(account, event detail) -> how the execution ended; waits take no time."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # Parsing takes seconds, and each execution parses its machine three times.
    monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(PARSE))
    monkeypatch.setattr(json_path, "parse", PARSE_PATH)
    monkeypatch.setattr(ExecutionWorker, "start", run_now)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setattr(WaitFunction, "_wait_interval", lambda *_arguments, **_options: None)
    original = StateTaskServiceAwsSdk._eval_service_task
    accounts: list[Account] = []

    def call(self, env, resource_runtime_part, normalised_parameters, state_credentials):
        action = f"{self.resource.api_name}:{self.resource.api_action}"
        if "Body" in normalised_parameters and not isinstance(normalised_parameters["Body"], bytes):
            # The service writes what a binary field is given as JSON text.
            normalised_parameters["Body"] = json.dumps(normalised_parameters["Body"]).encode()
        check(action, normalised_parameters)
        answer = accounts[-1].call(action, normalised_parameters)
        if answer is None:  # a service that moto knows well enough
            original(self, env, resource_runtime_part, normalised_parameters, state_credentials)
            answer = env.stack.pop()
            if "Body" in answer:
                answer["Body"] = answer["Body"].read().decode()
        return env.stack.append(json.loads(json.dumps(answer, default=lambda moment: moment.isoformat())))

    def service_name(self, _service: str | None = None) -> str:
        return SERVICES.get(self.resource.api_name, self.resource.api_name)

    monkeypatch.setattr(StateTaskServiceAwsSdk, "_eval_service_task", call)
    monkeypatch.setattr(StateTaskServiceAwsSdk, "_get_boto_service_name", service_name)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("sns").create_topic(Name=TOPIC.rsplit(":", 1)[1])
        client = boto3.client("stepfunctions")

        def run(account: Account, *, time: str | None = None, **detail) -> dict:
            accounts.append(account)
            text = json.dumps(shortened(definition(account.settings)))
            machine = client.create_state_machine(name=f"deploy{len(accounts)}", definition=text, roleArn=ROLE)
            event = {"source": "aws.sagemaker", "detail": {"ModelPackageGroupName": "imgpipe-dev", **detail}}
            if time:
                event["time"] = time
            arn = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(event))
            return _ended(client, arn["executionArn"])

        yield run


def _ended(client, arn: str) -> dict:
    execution = client.describe_execution(executionArn=arn)
    assert execution["status"] != "RUNNING"
    events = client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    path = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    return execution | {"path": path, "end": f"{path[-3:]}: {execution.get('cause')}"}


def approved(account: Account, version: int) -> dict:
    return {
        "ModelPackageVersion": version,
        "ModelPackageArn": account.versions[version]["arn"],
        "ModelApprovalStatus": "Approved",
    }


def rejected(account: Account, version: int, status: str = "Rejected") -> dict:
    account.versions[version]["status"] = status
    return approved(account, version) | {"ModelApprovalStatus": status}


TWO = {"instance_count": 2, "max_instance_count": 2}


def test_first_deployment(execute):
    account = Account(settings(capture_percent=20))
    account.register(1)
    execution = execute(account, **approved(account, 1))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    name = account.name(1)
    assert re.fullmatch(r"imgpipe-dev-v1-[0-9a-f]{8}", name)
    assert account.serving() == name
    (model,) = account.called("sagemaker:createModel")
    assert model["ModelName"] == name
    assert model["PrimaryContainer"] == {
        "ModelPackageName": account.versions[1]["arn"],
        "Environment": {"IMGPIPE_MODEL_NAME": name, "IMGPIPE_MAX_PAYLOAD_BYTES": "6291456"},
    }
    assert model["EnableNetworkIsolation"]
    (configuration,) = account.called("sagemaker:createEndpointConfig")
    assert configuration["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    assert configuration["DataCaptureConfig"]["DestinationS3Uri"] == f"s3://{BUCKET}/capture"
    (endpoint,) = account.called("sagemaker:createEndpoint")
    for made in (model, configuration, endpoint):
        tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
        assert tags.items() >= {"project": "imgpipe", "environment": "dev", "team": "vision"}.items()
    assert account.called("sagemakerruntime:invokeEndpoint"), "tested before it counts as deployed"
    recorded = live()
    assert datetime.fromisoformat(recorded.pop("deployed_at").replace("Z", "+00:00")).tzinfo
    assert recorded == {
        "schema_version": 1,
        "endpoint_name": "imgpipe-dev",
        "version": 1,
        "model_package_arn": account.versions[1]["arn"],
        "model_name": name,
        "endpoint_config_name": name,
        "metadata": account.versions[1]["metadata"],
    }
    (mail,) = account.mails()
    assert "Version 1 serves endpoint imgpipe-dev" in mail


def live() -> dict:
    """What the machine recorded as being live."""
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key="serving/imgpipe-dev/live.json")["Body"].read()
    return json.loads(body)


def test_update_is_guarded(execute):
    account = Account(settings(**TWO, traffic_shift="canary", shift_percent=30, bake_minutes=6))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.script = ["Updating", "Updating", "InService"]
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(2)
    (update,) = account.called("sagemaker:updateEndpoint")
    policy = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 360,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 30},
    }
    assert policy["TerminationWaitInSeconds"] == 360
    assert 600 <= policy["MaximumExecutionTimeoutInSeconds"] <= 28_800
    alarms = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert [alarm["AlarmName"] for alarm in alarms] == ["errors", "latency", "smoke"]
    assert account.called("applicationautoscaling:deregisterScalableTarget"), "autoscaling is off"
    assert live()["version"] == 2


@pytest.mark.parametrize("kind", ["canary", "linear", "all_at_once"])
@pytest.mark.parametrize("instances", [1, 2])
def test_one_instance_moves_all_at_once(kind, instances):
    of = settings(instance_count=instances, max_instance_count=instances, traffic_shift=kind)
    update = definition(of)["States"]["Update endpoint"]["Parameters"]["DeploymentConfig"]
    routing = update["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == (kind.upper() if instances > 1 else "ALL_AT_ONCE")


def test_old_model_answers_until_traffic_moves(execute):
    """Only the new model's own answer counts; it is asked for at every look."""
    account = Account(settings(**TWO))
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script = ["Updating"] * 5 + ["InService"]
    answering = iter([1, 1, 1, 2])
    account.answers = lambda _: account.answer(account.name(next(answering)))
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    assert len(account.called("sagemakerruntime:invokeEndpoint")) == 4
    assert not account.called("cloudwatch:putMetricData")


def test_second_event_changes_nothing(execute):
    account = Account(settings())
    account.register(1)
    execute(account, **approved(account, 1))
    before = Counter(action for action, _ in account.calls)
    assert execute(account, **approved(account, 1))["status"] == "SUCCEEDED"
    after = Counter(action for action, _ in account.calls)
    for action in ("createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint"):
        assert after[f"sagemaker:{action}"] == before[f"sagemaker:{action}"]
    assert len(account.mails()) == 1


def test_model_and_configuration_that_exist_count_as_made(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(2)
    account.serve(1)
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    assert not account.called("sagemaker:createModel")
    assert not account.called("sagemaker:createEndpointConfig")


def test_failed_first_endpoint_is_removed(execute):
    account = Account(settings())
    account.register(1)
    account.script, account.reason = ["Creating", "Failed"], "The primary container did not pass the ping health check"
    execution = execute(account, **approved(account, 1))
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    assert "did not pass the ping health check" in execution["cause"]
    assert account.endpoint is None
    (mail,) = account.mails()
    assert "ping health check" in mail
    assert "There is no endpoint imgpipe-dev" in mail
    account.script, account.reason = ["Creating", "InService"], None
    assert execute(account, **approved(account, 1))["status"] == "SUCCEEDED", "the next try can start"


def test_endpoint_that_failed_earlier_makes_room(execute):
    account = Account(settings())
    account.register(1)
    account.serve(1, status="Failed")
    assert execute(account, **approved(account, 1))["status"] == "SUCCEEDED"
    assert len(account.called("sagemaker:deleteEndpoint")) == 1


def test_rolled_back_update_is_told_of(execute):
    account = Account(settings(**TWO))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.script, account.lands = ["Updating", "RollingBack", "InService"], False
    account.reason = "One or more configured alarm(s) went into ALARM: errors"
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    assert account.reason in execution["cause"]
    assert account.serving() == account.name(1)
    (mail,) = account.mails()
    assert account.reason in mail
    assert f"Endpoint imgpipe-dev is InService with configuration {account.name(1)}" in mail
    with pytest.raises(ClientError, match="NoSuchKey"):
        live()


def test_wrong_answer_rolls_back(execute):
    account = Account(settings(**TWO))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.script, account.lands = ["Updating", "Updating", "InService"], False
    account.answers = lambda _: account.answer(account.name(2)) | {"predictions": [{"label": "motorcycle"}]}
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    assert "motorcycle" in execution["cause"]
    assert "bicycle" in execution["cause"]
    (metric,) = account.called("cloudwatch:putMetricData")
    assert metric["Namespace"] == "imgpipe/Serving"
    assert metric["MetricData"][0]["Dimensions"] == [{"Name": "EndpointName", "Value": "imgpipe-dev"}]
    assert account.serving() == account.name(1)


@pytest.mark.parametrize(
    "answer", ["no JSON", [0.9, 0.1], {"predictions": [], "model": {"name": None}}, {"error": {"code": "empty"}}]
)
def test_answers_of_no_use_take_the_first_endpoint_back(execute, answer):
    account = Account(settings())
    account.register(1)
    account.answers = lambda _: answer
    execution = execute(account, **approved(account, 1))
    assert execution["status"] == "FAILED"
    assert account.endpoint is None


def test_wrong_answer_after_the_shift_restores_the_old_configuration(execute):
    """Serverless endpoints have no guardrails: the machine itself goes back."""
    account = Account(settings(kind="serverless"))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.script = ["Updating", "InService"]
    account.answers = lambda name: account.answer(name) | {"predictions": [{"label": "motorcycle"}]}
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    updates = account.called("sagemaker:updateEndpoint")
    assert [update["EndpointConfigName"] for update in updates] == [account.name(2), account.name(1)]
    assert "DeploymentConfig" not in updates[0]
    assert account.serving() == account.name(1)


def test_no_answer_at_all_is_a_failure(execute):
    account = Account(settings())
    account.register(1)
    account.denied["sagemakerruntime:invokeEndpoint"] = "Received server error (500) from primary"
    execution = execute(account, **approved(account, 1))
    assert execution["status"] == "FAILED"
    assert "no answer" in execution["cause"]
    assert "Received server error (500) from primary" in execution["cause"]
    assert account.endpoint is None


def test_errors_of_earlier_calls_are_no_reason_of_the_model(execute):
    """That there was no model and no endpoint yet is what a first deployment begins with."""
    account = Account(settings())
    account.register(1)
    account.answers = lambda _: account.answer("another-model")
    execution = execute(account, **approved(account, 1))
    assert execution["status"] == "FAILED"
    assert "Say that it does not answer" in execution["path"]
    assert "Could not find" not in execution["cause"]


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
def test_rejecting_the_live_version_brings_the_newest_approved(execute, status):
    account = Account(settings(**TWO))
    for version in (1, 2, 3, 4):
        account.register(version)
    account.versions[3]["status"] = "Rejected"
    account.serve(4)
    account.script = ["Updating", "InService"]
    account.ringing = ["errors"]
    execution = execute(account, **rejected(account, 4, status))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(2)
    (update,) = account.called("sagemaker:updateEndpoint")
    policy = update["DeploymentConfig"]
    assert policy["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE", "it is urgent"
    assert policy["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "smoke"}]}, "others may ring already"


def test_rejecting_another_version_changes_nothing(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(1)
    assert execute(account, **rejected(account, 2))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)
    assert not account.mails()


def test_rejecting_while_it_is_being_deployed_waits_and_takes_it_back(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(2, status="Updating")
    account._pending = ["Updating", "Updating", "InService"]
    account.script = ["Updating", "InService"]
    assert execute(account, **rejected(account, 2))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)


def test_rejecting_without_an_endpoint_is_no_failure(execute):
    account = Account(settings())
    account.register(1)
    assert execute(account, **rejected(account, 1))["status"] == "SUCCEEDED"
    assert not account.mails()


def test_live_version_rejected_and_none_approved_goes_on_serving(execute):
    account = Account(settings())
    account.register(1)
    account.serve(1)
    assert execute(account, **rejected(account, 1))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)
    (mail,) = account.mails()
    assert "imgpipe-dev" in mail
    assert "imgpipe endpoint --stop" in mail


def test_redeploy_keeps_the_live_version_and_is_guarded(execute):
    """A newer version may be approved still and yet have been rolled back."""
    account = Account(settings(**TWO, capture_percent=10))
    for version in (3, 4):
        account.register(version)
    account.serve(3, name="imgpipe-dev-v3-00000000")
    account.script = ["Updating", "InService"]
    execution = execute(account, ModelApprovalStatus="Redeploy")
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(3)
    (update,) = account.called("sagemaker:updateEndpoint")
    routing = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "CANARY"
    assert len(update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 3


def test_redeploy_of_a_live_version_that_is_not_approved_takes_the_newest_approved(execute):
    account = Account(settings(capture_percent=10))
    for version in (1, 2):
        account.register(version)
    account.serve(2, name="imgpipe-dev-v2-00000000")
    account.versions[2]["status"] = "Rejected"
    account.script = ["Updating", "InService"]
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)


@pytest.mark.parametrize("status", [None, "Failed"])
def test_redeploy_without_an_endpoint_brings_back_what_was_live(execute, status):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    record = json.dumps({"model_package_arn": account.versions[1]["arn"]})
    boto3.client("s3").put_object(Bucket=BUCKET, Key="serving/imgpipe-dev/live.json", Body=record)
    if status:
        account.serve(2, status=status)
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)


@pytest.mark.parametrize("kind", ["realtime", "serverless"])
@pytest.mark.parametrize(
    ("own", "other", "serves"),
    [
        (None, (1, "2026-01-01T00:00:00.000Z"), 1),
        ((3, "2026-01-01T00:00:00.000Z"), (1, "2026-01-02T00:00:00.000Z"), 1),
        ((1, "2026-01-02T00:00:00.000Z"), (3, "2026-01-01T00:00:00.000Z"), 1),
        ((1, "2026-01-02T00:00:00.000Z"), None, 1),
    ],
)
def test_change_of_the_kind_keeps_the_version_that_served_last(execute, kind, own, other, serves):
    """Version 3 is approved, too, and was rolled back; the endpoint has another name, so a record of its own."""
    account = Account(settings(kind=kind))
    for version in (1, 2, 3):
        account.register(version)
    names = ["imgpipe-dev", "imgpipe-dev-serverless"]
    for name, record in zip(names if kind == "realtime" else reversed(names), (own, other), strict=True):
        if record:
            content = {"model_package_arn": account.versions[record[0]]["arn"], "deployed_at": record[1]}
            key = f"serving/{name}/live.json"
            boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content))
    execution = execute(account, ModelApprovalStatus="Redeploy")
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(serves)


def test_redeploy_without_an_endpoint_or_a_record_takes_the_newest_approved(execute):
    account = Account(settings())
    for version in (1, 2, 3):
        account.register(version)
    account.versions[3]["status"] = "PendingManualApproval"
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "SUCCEEDED"
    assert account.serving() == account.name(2)


def test_redeploy_without_an_approved_version_ends_quietly(execute):
    account = Account(settings())
    account.register(1, status="PendingManualApproval")
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "SUCCEEDED"
    assert account.endpoint is None
    assert not account.mails()


def test_definition_of_other_settings_deploys_nothing(execute):
    account = Account(settings())
    account.register(1)
    account.serve(1, name="imgpipe-dev-v1-00000000")
    execution = execute(account, ModelApprovalStatus="Redeploy", SettingsHash="0a1b2c3d-")
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", {"outdated": True})
    assert not account.calls
    account.script = ["Updating", "InService"]
    right = deployment_hash(account.settings)
    execute(account, ModelApprovalStatus="Redeploy", SettingsHash=right)
    assert account.serving() == account.name(1)


def test_other_settings_give_other_names(execute):
    account = Account(settings(instance_type="ml.c5.xlarge"))
    account.register(1)
    account.serve(1, name=Account(settings()).name(1))
    account.script = ["Updating", "InService"]
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)
    assert (
        account.called("sagemaker:createEndpointConfig")[0]["ProductionVariants"][0]["InstanceType"] == "ml.c5.xlarge"
    )


def test_busy_endpoint_is_awaited(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(1, status="SystemUpdating")
    account._pending = ["SystemUpdating", "Updating", "InService"]
    account.script = ["Updating", "InService"]
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert execution["path"].count("Wait for others") >= 2
    assert account.serving() == account.name(2)


def test_endpoint_that_stays_busy_is_given_up(execute):
    account = Account(settings())
    account.register(1)
    account.serve(1, status="Updating")
    account.register(2)
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    assert "busy" in execution["cause"]


def test_endpoint_that_becomes_busy_in_between_is_awaited(execute):
    """Somebody else's update begins between our look and ours."""
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script = ["Updating", "InService"]

    def interfere() -> None:
        account.endpoint["EndpointStatus"] = "Updating"
        account._pending = ["InService"]

    account.hooks["sagemaker:updateEndpoint"] = interfere
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(2)
    assert len(account.called("sagemaker:updateEndpoint")) == 2


def test_later_decision_stands(execute):
    """An execution that waited finds that a later one has deployed meanwhile."""
    account = Account(settings())
    for version in (1, 2, 3):
        account.register(version)
    account.serve(1, status="Updating")
    account._pending = ["InService"]
    account.tags = {"imgpipe:deployed-by-execution-of": "2999-01-01T00:00:00.000Z"}
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED"
    assert execution["path"][-1] == "Superseded"
    assert not account.called("sagemaker:updateEndpoint")
    (mail,) = account.mails()
    assert "Version 2 is not deployed" in mail


@pytest.mark.parametrize(("moment", "serves"), [("2026-05-01T00:00:00Z", 1), ("2026-05-03T00:00:00Z", 2)])
def test_decisions_are_ordered_by_when_they_were_made(execute, moment, serves):
    """Not by when their event arrived."""
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.tags = {"imgpipe:deployed-by-execution-of": "2026-05-02T00:00:00Z"}
    account.script = ["Updating", "InService"]
    execute(account, time=moment, **approved(account, 2))
    assert account.serving() == account.name(serves)
    expected = moment if serves == 2 else "2026-05-02T00:00:00Z"
    assert account.tags["imgpipe:deployed-by-execution-of"] == expected


FAULTS = ["Rate exceeded", "Service Unavailable (Service: SageMaker, Status Code: 503)"]


@pytest.mark.parametrize(
    "action",
    [
        "sagemaker:describeModelPackage",
        "sagemaker:describeModel",
        "sagemaker:createModel",
        "sagemaker:createEndpointConfig",
        "sagemaker:describeEndpoint",
        "sagemaker:listTags",
        "cloudwatch:describeAlarms",
        "sagemakerruntime:invokeEndpoint",
        "s3:getObject",
        "s3:putObject",
        "sns:publish",
    ],
)
def test_passing_faults_of_a_service_end_no_deployment(execute, action):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script = ["Updating", "Updating", "InService"]
    account.failing[action] = list(FAULTS)
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(2)
    assert len(account.mails()) == (3 if action == "sns:publish" else 1)
    # A look for the model that fails goes on to make it, which is refused where it is there.
    assert account.failing[action] == (list(FAULTS[1:]) if action == "sagemaker:describeModel" else [])


def test_faults_while_the_deployment_is_watched_end_nothing(execute):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script = ["Updating", "InService"]
    account.hooks["sagemaker:updateEndpoint"] = lambda: account.failing.update(
        {"sagemaker:describeEndpoint": list(FAULTS)}
    )
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]


def test_endpoint_that_can_not_be_seen_is_given_up(execute):
    account = Account(settings())
    account.register(1)
    account.denied["sagemaker:describeEndpoint"] = FAULTS[1]
    execution = execute(account, **approved(account, 1))
    assert "could not be seen" in execution["cause"]


def test_new_names_that_are_not_known_everywhere_yet_are_asked_for_again(execute):
    account = Account(settings())
    account.register(1)
    account.failing = {
        "sagemaker:createEndpointConfig": ['Could not find model "m".'],
        "sagemaker:createEndpoint": ['Could not find endpoint configuration "c".'],
    }
    execution = execute(account, **approved(account, 1))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(1)


def test_failed_update_makes_the_endpoint_again_as_it_was(execute):
    """A failed endpoint can only be deleted."""
    account = Account(settings(**TWO))
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script, account.reason = ["Updating", "Failed"], "no capacity for the old fleet"

    def capacity_is_back() -> None:
        account.script, account.reason = ["Creating", "InService"], None

    account.hooks["sagemaker:deleteEndpoint"] = capacity_is_back
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    assert account.serving() == account.name(1)
    assert account.endpoint["EndpointStatus"] == "InService"
    (mail,) = account.mails()
    assert "no capacity for the old fleet" in mail
    assert f"made again with its previous configuration {account.name(1)}" in mail


def test_broken_endpoint_is_made_again_where_the_new_version_breaks_too(execute):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1, status="Failed")
    account.answers = lambda name: account.answer(name) | {"predictions": [{"label": "motorcycle"}]}
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "FAILED"
    assert account.serving() == account.name(1)


@pytest.mark.parametrize("message", ['Cannot update in-progress endpoint "e".', "Rate exceeded"])
def test_undo_is_tried_again_while_the_endpoint_is_busy(execute, message):
    account = Account(settings(kind="serverless"))
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.script = ["Updating", "InService"]

    def wrong(name: str) -> dict:
        if not account.failing:
            account.failing["sagemaker:updateEndpoint"] = [message] * 2
        return account.answer(name) | {"predictions": [{"label": "motorcycle"}]}

    account.answers = wrong
    execute(account, **approved(account, 2))
    assert account.failing["sagemaker:updateEndpoint"] == []
    assert account.serving() == account.name(1)


def test_deletion_is_tried_again_while_the_endpoint_is_busy(execute):
    account = Account(settings())
    account.register(1)
    account.denied["sagemakerruntime:invokeEndpoint"] = "Received server error (500) from primary"
    account.failing["sagemaker:deleteEndpoint"] = ['Cannot update in-progress endpoint "e".', "Rate exceeded"]
    execute(account, **approved(account, 1))
    assert account.endpoint is None


def test_undo_keeps_the_instances_that_the_load_asks_for():
    undo = definition(settings(**SCALED))["States"]["Serve previous configuration"]["Parameters"]
    assert undo["RetainAllVariantProperties"]


def test_earlier_decision_is_replaced(execute):
    account = Account(settings())
    account.register(1)
    execute(account, **approved(account, 1))
    account.register(2)
    account.script = ["Updating", "InService"]
    first = account.tags["imgpipe:deployed-by-execution-of"]
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(2)
    assert account.tags["imgpipe:deployed-by-execution-of"] > first


def test_approval_that_was_taken_back_meanwhile_changes_nothing(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(1)
    account.hooks["sagemaker:describeEndpoint"] = lambda: account.versions[2].update(status="Rejected")
    execution = execute(account, **approved(account, 2))
    assert execution["path"][-1] == "No longer approved"
    assert account.serving() == account.name(1)


def test_approval_taken_back_at_the_last_moment_brings_the_newest_approved(execute):
    account = Account(settings())
    account.register(1)
    account.register(2)
    account.serve(1)
    account.script = ["Updating", "InService"]
    account.hooks["sagemaker:updateEndpoint"] = lambda: account.versions[2].update(status="Rejected")
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(1)


@pytest.mark.parametrize(
    "action",
    [
        "sagemaker:describeModelPackage",
        "sagemaker:createModel",
        "sagemaker:createEndpointConfig",
        "sagemaker:createEndpoint",
        "sagemaker:describeEndpoint",
        "s3:getObject",
        "s3:putObject",
    ],
)
def test_denied_call_is_told_of(execute, action):
    account = Account(settings())
    account.register(1)
    account.denied[action] = f"User is not authorized to perform: {action}"
    execution = execute(account, **approved(account, 1))
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    assert account.denied[action] in execution["cause"]
    (mail,) = account.mails()
    assert account.denied[action] in mail


def test_notification_that_cannot_be_sent_hides_nothing(execute):
    account = Account(settings())
    account.register(1)
    account.denied = {"sns:publish": "no", "sagemaker:createModel": "the real reason"}
    assert "the real reason" in execute(account, **approved(account, 1))["cause"]


def test_version_of_before_there_was_an_endpoint_says_what_to_do(execute):
    account = Account(settings())
    account.register(1)
    del account.versions[1]["metadata"]["sample_uri"]
    execution = execute(account, **approved(account, 1))
    assert "Run the pipeline again" in execution["cause"]
    assert not account.called("sagemaker:createModel")


def test_version_without_any_metadata_says_so_too(execute):
    account = Account(settings())
    account.register(1)
    account.versions[1]["metadata"] = {}
    execution = execute(account, **approved(account, 1))
    assert "Say that it cannot be served" in execution["path"], execution["end"]
    assert (execution["status"], execution["error"]) == ("FAILED", "DeploymentFailed")
    assert "version 1 has no sample_uri" in execution["cause"]


def test_what_was_described_goes_no_further_than_it_is_needed():
    """A model card alone may be 100,000 characters of the 256 KiB that a state's data may have."""
    begin = definition(settings())["States"]["Begin"]
    assert "ResultPath" not in begin, "the input is replaced"
    assert not {"described", "plan", "approved", "endpoint"} & {name.removesuffix(".$") for name in begin["Parameters"]}


def test_endpoint_that_somebody_made_by_hand_is_updated(execute):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.tags, account.script = {}, ["Updating", "InService"]
    execution = execute(account, **approved(account, 2))
    assert execution["status"] == "SUCCEEDED", execution["end"]
    assert account.serving() == account.name(2)


def test_endpoint_that_no_update_mends_names_the_commands(execute):
    account = Account(settings())
    for version in (1, 2):
        account.register(version)
    account.serve(1, status="UpdateRollbackFailed")
    cause = execute(account, **approved(account, 2))["cause"]
    assert "`imgpipe endpoint --stop`" in cause
    assert "`imgpipe approve 2`" in cause


def test_ringing_alarms_do_not_keep_the_cure_away(execute):
    """The service would roll back at once what is to mend an endpoint whose alarms ring already."""
    account = Account(settings(**TWO))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.ringing, account.script = ["errors"], ["Updating", "InService"]
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    (update,) = account.called("sagemaker:updateEndpoint")
    alarms = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert alarms == [{"AlarmName": "latency"}, {"AlarmName": "smoke"}], "those that do not ring yet"
    routing = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "CANARY", "no cure is taken on trust"


def test_smoke_alarm_of_the_last_deployment_is_awaited(execute):
    account = Account(settings(**TWO))
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.ringing, account.script = ["smoke"], ["Updating", "InService"]
    looks = iter(range(10))

    def look() -> None:
        if next(looks) == 2:
            account.ringing = []
        else:
            account.hooks["cloudwatch:describeAlarms"] = look

    account.hooks["cloudwatch:describeAlarms"] = look
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    (update,) = account.called("sagemaker:updateEndpoint")
    assert {"AlarmName": "smoke"} in update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]


def test_smoke_alarm_that_goes_on_ringing_keeps_the_deployment_away(execute):
    account = Account(settings(**TWO))
    for version in (1, 2):
        account.register(version)
    account.serve(1)
    account.ringing = ["smoke"]
    execution = execute(account, **approved(account, 2))
    assert "alarm of its smoke test" in execution["cause"]
    assert not account.called("sagemaker:updateEndpoint")


SCALED = {"instance_count": 2, "max_instance_count": 4, "target_invocations_per_minute": 900}


def test_autoscaling_is_registered_and_kept(execute):
    account = Account(settings(**SCALED))
    account.register(1)
    account.register(2)
    execute(account, **approved(account, 1))
    account.script = ["Updating", "InService"]
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    (update,) = account.called("sagemaker:updateEndpoint")
    assert update["RetainAllVariantProperties"], "the instances that the load asks for stay"
    assert not account.called("applicationautoscaling:deregisterScalableTarget")
    scaling = boto3.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["ResourceId"] == "endpoint/imgpipe-dev/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 900


def test_another_instance_type_releases_the_target_first(execute):
    """Also after a failure autoscaling is on again."""
    account = Account(settings(**SCALED, instance_type="ml.c5.xlarge"))
    account.register(1)
    account.serve(1, name="imgpipe-dev-v1-00000000")
    account.script, account.lands = ["Updating", "InService"], False
    assert execute(account, ModelApprovalStatus="Redeploy")["status"] == "FAILED"
    order = [action for action, _ in account.calls if "caling" in action or "updateEndpoint" in action]
    assert order == [
        "applicationautoscaling:deregisterScalableTarget",
        "sagemaker:updateEndpoint",
        "applicationautoscaling:registerScalableTarget",
        "applicationautoscaling:putScalingPolicy",
    ]


@pytest.mark.parametrize(("instances", "excluded"), [(1, [{"VariantPropertyType": "DesiredInstanceCount"}]), (3, [])])
def test_fewer_instances_than_the_settings_ask_for_are_not_retained(execute, instances, excluded):
    """Of one instance a canary would be the whole."""
    account = Account(settings(**SCALED))
    account.register(1)
    account.register(2)
    account.serve(1)
    account.endpoint["ProductionVariants"] = [{"CurrentInstanceCount": instances}]
    account.script = ["Updating", "InService"]
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    (update,) = account.called("sagemaker:updateEndpoint")
    assert update["RetainAllVariantProperties"]
    assert update["ExcludeRetainedVariantProperties"] == excluded


def test_switching_autoscaling_off_removes_its_target(execute):
    """Its settings are no part of the configuration, so nothing has to be updated."""
    account = Account(settings(**SCALED))
    account.register(1)
    execute(account, **approved(account, 1))
    account.settings = settings(**TWO)
    execution = execute(account, ModelApprovalStatus="Redeploy")
    assert execution["status"] == "SUCCEEDED", execution["end"]
    scaling = boto3.client("application-autoscaling")
    assert not scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert not account.called("sagemaker:updateEndpoint")


def test_what_is_live_is_recorded_even_where_autoscaling_fails(execute):
    account = Account(settings(**SCALED))
    account.register(1)
    account.denied["applicationautoscaling:registerScalableTarget"] = "not allowed"
    assert execute(account, **approved(account, 1))["status"] == "FAILED"
    assert live()["version"] == 1


def test_second_event_leaves_the_record_as_it_is(execute):
    """The monitor counts from the moment of the deployment."""
    account = Account(settings())
    account.register(1)
    execute(account, **approved(account, 1))
    before = live()
    execute(account, **approved(account, 1))
    assert live() == before
    assert len(account.called("s3:putObject")) == 1


VARIANTS = [
    {},
    {"kind": "serverless"},
    SCALED,
    {**TWO, "traffic_shift": "linear", "shift_percent": 10, "bake_minutes": 30},
    {
        "capture_percent": 1,
        "kms_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b",
        "subnet_ids": ("subnet-01234567",),
        "security_group_ids": ("sg-01234567",),
    },
]


@pytest.mark.parametrize("serving", VARIANTS)
def test_every_state_is_there_reached_and_bounded(serving):
    machine = definition(settings(**serving))
    states = machine["States"]
    reached, todo = set(), [machine["StartAt"]]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += targets(states[name])
    assert reached == set(states)
    assert machine["TimeoutSeconds"] > 0
    for name, state in states.items():
        assert len(name) <= 80
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] > 0, name
            assert state["Catch"][0]["ErrorEquals"] == ["States.ALL"], name
            assert "aws-sdk:" in state["Resource"], "no function takes part"
    looks = [
        rule["NumericGreaterThan"] for state in states.values() for rule in state.get("Choices", [])
        if "NumericGreaterThan" in rule
    ]  # fmt: skip
    assert len(looks) == (7 if serving.get("kind") == "serverless" else 8) - 1, "every loop ends"
    # An execution has at most 25,000 events: a look is about 13, a smoke test about 20.
    assert max(looks) * 33 < 25_000
    for state in states.values():
        if state["Type"] == "Task":
            names = [name for retry in state["Retry"] for name in retry["ErrorEquals"]]
            service = state["Resource"].split(":")[-2]
            prefixed = {name.split(".")[0].lower() for name in names if not name.startswith("States.")}
            assert prefixed <= {service}, "an SDK integration's errors are named after its client"
            assert "States.TaskFailed" in names or prefixed == {service}


@pytest.mark.parametrize("serving", VARIANTS)
def test_every_kind_of_endpoint_deploys(execute, serving):
    """With requests that the service's model accepts."""
    account = Account(settings(**serving))
    for version in (1, 2):
        account.register(version)
    assert execute(account, **approved(account, 1))["status"] == "SUCCEEDED"
    account.script = ["Updating", "InService"]
    assert execute(account, **approved(account, 2))["status"] == "SUCCEEDED"
    assert account.serving() == account.name(2)


def test_definition_is_the_same_text_every_time():
    assert json.dumps(definition(settings())) == json.dumps(definition(settings()))
