"""The serving stack: who may do what, what starts and guards a deployment, and what follows the settings."""

from __future__ import annotations

import json

import pytest
from cloudformation import iam_findings, listed, resolve, resources, statements

from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from infra.workflows.deployment.requests import deployment_hash

# Actions without a resource type; cdk-nag's acknowledgement on the role gives the reason.
NEEDS_STAR = {
    "ecr:GetAuthorizationToken",
    "cloudwatch:PutMetricData",
    "cloudwatch:GetMetricStatistics",
    "sagemaker:ListModels",
    "sagemaker:ListEndpointConfigs",
}
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"


@pytest.fixture
def stack(template, environment):
    return template(environment, "serving")


def _serving_stack(tmp_path, **serving):
    """The serving stack of dev with other settings of its endpoint."""
    from infra.app import build_app

    settings = EnvironmentSettings.model_validate(load_environment("dev").model_dump() | {"serving": serving})
    assembly = build_app(settings, outdir=tmp_path / "cdk.out").synth()
    return next(stack.template for stack in assembly.stacks if stack.stack_name.endswith("-serving"))


def _policies(stack):
    return {
        name: resolve(body["Properties"]["PolicyDocument"], stack)
        for name, body in resources(stack, "AWS::IAM::Policy").items()
    }


def _machine(stack):
    (machine,) = resources(stack, "AWS::StepFunctions::StateMachine").values()
    return machine["Properties"]


def test_iam_knows_every_action_with_its_resources_and_conditions(stack):
    for name, policy in _policies(stack).items():
        assert not iam_findings(policy), name


def test_star_resources_are_only_where_iam_knows_no_other(stack):
    stars = {
        action
        for policy in _policies(stack).values()
        for statement in policy["Statement"]
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert {action for action in stars if action.split(":")[0] not in ("logs", "xray")} <= NEEDS_STAR
    assert not [action for action in stars if "*" in action]


def test_only_the_endpoint_role_is_passed_and_only_to_sagemaker(stack):
    passing = [
        statement
        for policy in _policies(stack).values()
        for statement in policy["Statement"]
        if "iam:PassRole" in listed(statement["Action"])
    ]
    (hosting,) = [name for name in resources(stack, "AWS::IAM::Role") if name.startswith("Hosting")]
    assert [statement["Resource"] for statement in passing] == [f"arn:aws:iam::123456789012:role/{hosting}"]
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_machine_reaches_only_its_own_names(stack, environment):
    settings = load_environment(environment)
    arn = "arn:aws:sagemaker:us-east-1:123456789012"
    found = statements(stack, "DeploymentRole")
    assert found["MakeModels"]["Resource"] == f"{arn}:model/{settings.prefix}-v*"
    assert found["WatchEndpoint"]["Resource"] == f"{arn}:endpoint/{settings.endpoint_name}"
    assert "sagemaker:UpdateModelPackage" not in json.dumps(found), "the machine must not approve"
    bucket = f"arn:aws:s3:::{settings.prefix}-artifacts-123456789012-us-east-1"
    assert set(found["RecordWhatIsLive"]["Action"]) == {"s3:GetObject", "s3:PutObject"}
    assert found["RecordWhatIsLive"]["Resource"] == f"{bucket}/serving/{settings.endpoint_name}/live.json"


def test_machine_is_logged_and_traced_without_data(stack, environment):
    machine = _machine(stack)
    assert machine["StateMachineName"] == f"imgpipe-{environment}-deploy"
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    definition = json.loads(resolve(machine["DefinitionString"], stack))
    assert definition["StartAt"] in definition["States"]
    assert {state["Type"] for state in definition["States"].values()} <= {
        "Task", "Choice", "Wait", "Pass", "Map", "Succeed", "Fail",
    }  # fmt: skip


def test_alarms_are_the_ones_that_roll_back_and_silence_is_none(stack, environment):
    alarms = {
        body["Properties"]["AlarmName"]: body["Properties"]
        for body in resources(stack, "AWS::CloudWatch::Alarm").values()
    }
    definition = resolve(_machine(stack)["DefinitionString"], stack)
    for name, alarm in alarms.items():
        assert alarm["TreatMissingData"] == "notBreaching", name
        assert "docs/operations.md#alarm-" in alarm["AlarmDescription"]
        assert alarm["AlarmActions"], "somebody hears of it"
    serving = load_environment(environment).serving
    latency = alarms[f"imgpipe-{environment}-endpoint-latency"]
    assert latency["Threshold"] == serving.latency_ms * 1000, "ModelLatency is in microseconds"
    assert latency["ExtendedStatistic"] == "p99"
    errors = alarms[f"imgpipe-{environment}-endpoint-errors"]
    assert errors["Threshold"] == pytest.approx(serving.error_rate_percent / 100)
    if serving.kind == "realtime":
        rolling_back = set(json.loads(definition)["States"]["Do alarms ring"]["Parameters"]["AlarmNames"])
        assert rolling_back == {
            f"imgpipe-{environment}-endpoint-{name}" for name in ("errors", "latency", "smoke-test")
        }
        assert rolling_back <= alarms.keys()


def test_every_change_of_an_approval_in_the_group_starts_the_machine(stack, environment):
    rules = {body["Properties"]["Name"]: body["Properties"] for body in resources(stack, "AWS::Events::Rule").values()}
    rule = rules[f"imgpipe-{environment}-approval"]
    assert rule["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {
            "ModelPackageGroupName": [f"imgpipe-{environment}"],
            "ModelApprovalStatus": ["Approved", "Rejected", "PendingManualApproval"],
        },
    }
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    unexpected = rules[f"imgpipe-{environment}-deploy-unexpected"]["EventPattern"]["detail"]
    assert unexpected["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert {"anything-but": ["DeploymentFailed"]} in unexpected["error"], "what the machine told of is not told twice"


def test_topic_takes_tls_alone_and_alarms_of_the_account(stack):
    (policy,) = resources(stack, "AWS::SNS::TopicPolicy").values()
    document = resolve(policy["Properties"]["PolicyDocument"], stack)
    denied = [item for item in document["Statement"] if item["Effect"] == "Deny"]
    assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert any(item["Principal"] == {"Service": "cloudwatch.amazonaws.com"} for item in document["Statement"])


def test_endpoint_follows_its_settings_and_tells_what_it_could_not_replace(stack, environment):
    ((_, body),) = resources(stack, "Custom::Endpoint").items()
    assert body["Properties"]["SettingsHash"] == deployment_hash(load_environment(environment))
    found = statements(stack, "LifecycleRemoveRole")
    assert found["Notify"]["Action"] == "sns:Publish"
    assert found["FollowDeployments"]["Action"] == "states:DescribeExecution"


def test_rule_goes_before_the_endpoint_and_the_endpoint_before_its_role(stack):
    """A deletion goes against the dependencies."""
    ((endpoint, body),) = resources(stack, "Custom::Endpoint").items()
    (rule,) = [
        item
        for item in resources(stack, "AWS::Events::Rule").values()
        if item["Properties"]["Name"].endswith("-approval")
    ]
    assert endpoint in rule["DependsOn"]
    assert any(name.startswith("HostingRole") for name in body["DependsOn"])


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_idle_shutdown_only_where_it_is_set(template, environment):
    stack, hours = template(environment, "serving"), load_environment(environment).serving.idle_hours
    names = [body["Properties"]["FunctionName"] for body in resources(stack, "AWS::Lambda::Function").values()]
    assert (f"imgpipe-{environment}-stop-idle-endpoint" in names) == (hours is not None)


def test_outputs(stack, environment):
    assert set(stack["Outputs"]) == {"EndpointName", "DeployStateMachineArn", "NotificationTopicArn"}
    assert stack["Outputs"]["EndpointName"]["Value"] == load_environment(environment).endpoint_name


def test_network_key_and_addresses_reach_the_template(tmp_path):
    stack = _serving_stack(
        tmp_path,
        subnet_ids=("subnet-01234567",),
        security_group_ids=("sg-01234567",),
        kms_key_arn=KEY,
        capture_percent=5,
        notify=("ops@example.org",),
    )
    hosting = statements(stack, "HostingRole")
    assert "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-01234567" in hosting["AttachToSubnets"]["Resource"]
    assert hosting["EncryptCaptures"]["Resource"] == KEY
    (subscription,) = resources(stack, "AWS::SNS::Subscription").values()
    assert subscription["Properties"]["Endpoint"] == "ops@example.org"
    for name, policy in _policies(stack).items():
        assert not iam_findings(policy), name


def test_without_capture_and_network_the_endpoint_has_no_such_permission(tmp_path):
    stack = _serving_stack(tmp_path)
    assert not {"CaptureRequests", "AttachToSubnets", "SeeNetwork"} & set(statements(stack, "HostingRole"))
