"""The serving stack: who may do what, what starts and guards a deployment, and what follows the settings."""

from __future__ import annotations

import json
import re

import pytest
from cloudformation import iam_findings, listed, resolve, resources, statements
from moto.events.models import EventPattern

from infra.environments import ROOT, load_environment
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
    (other,) = {settings.prefix, f"{settings.prefix}-serverless"} - {settings.endpoint_name}
    assert found["SeeWhatTheOtherKindServed"]["Resource"] == f"{bucket}/serving/{other}/live.json"
    assert found["SeeWhatTheOtherKindServed"]["Action"] == "s3:GetObject"


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
            "UpdatedModelPackageFields": [{"exists": False}, "ModelApprovalStatus"],
        },
    }
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"status": "FAILED", "error": "DeploymentFailed"}, False),
        ({"status": "FAILED", "error": "States.Runtime"}, True),
        ({"status": "FAILED"}, True),
        ({"status": "TIMED_OUT", "error": None}, True),
        ({"status": "TIMED_OUT"}, True),
        ({"status": "ABORTED", "error": None}, True),
        ({"status": "ABORTED", "error": "DeploymentFailed"}, True),
        ({"status": "SUCCEEDED", "error": None}, False),
    ],
)
def test_ends_that_the_machine_did_not_tell_of_are_told_by_a_rule(stack, environment, ended, told):
    (rule,) = [
        body["Properties"]
        for body in resources(stack, "AWS::Events::Rule").values()
        if body["Properties"]["Name"] == f"imgpipe-{environment}-deploy-unexpected"
    ]
    pattern = resolve(rule["EventPattern"], stack)
    (machine,) = pattern["detail"]["stateMachineArn"]
    event = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"stateMachineArn": machine, **ended},
    }
    assert EventPattern(None, pattern).matches_event(event) is told
    assert "null" not in json.dumps(pattern), "CloudFormation refuses it"


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


def test_a_failing_idle_shutdown_is_an_alarm(template):
    """Nobody waits for its answer, and the endpoint that it does not remove costs by the hour."""
    stack = template("dev", "serving")
    [alarm] = [
        body["Properties"]
        for body in resources(stack, "AWS::CloudWatch::Alarm").values()
        if body["Properties"]["AlarmName"] == "imgpipe-dev-idle-shutdown-failed"
    ]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "imgpipe-dev-stop-idle-endpoint"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    [topic] = resources(stack, "AWS::SNS::Topic")
    assert alarm["AlarmActions"] == [{"Ref": topic}]


def test_every_alarm_names_a_section_of_the_runbook(stack):
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    alarms = resources(stack, "AWS::CloudWatch::Alarm").values()
    named = {body["Properties"]["AlarmDescription"].rpartition("docs/operations.md#")[2] for body in alarms}
    assert len(named) >= 4
    assert named <= anchors


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


ALARM = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
SCALING_ALARMS = f"{ALARM}TargetTracking-endpoint/imgpipe-dev/*"


@pytest.mark.parametrize("start", ["HostingRole", "DeploymentRole"])
def test_either_role_may_watch_the_alarms_that_roll_back(tmp_path, start):
    watched = statements(_serving_stack(tmp_path), start)["WatchAlarms"]
    assert watched["Action"] == "cloudwatch:DescribeAlarms"
    assert {arn.removeprefix(f"{ALARM}imgpipe-dev-endpoint-") for arn in watched["Resource"]} == {
        "errors",
        "latency",
        "smoke-test",
    }


def test_serverless_endpoints_have_no_alarms_that_roll_back_and_none_that_scale(tmp_path):
    stack = _serving_stack(tmp_path, kind="serverless")
    assert "WatchAlarms" not in statements(stack, "HostingRole")
    assert "KeepScalingAlarms" not in statements(stack, "DeploymentRole")


@pytest.mark.parametrize("most", [1, 3])
def test_whoever_scales_keeps_the_alarms_of_it_and_others_may_remove_old_ones(tmp_path, most):
    stack = _serving_stack(tmp_path, instance_count=1, max_instance_count=most)
    removing = {"cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms"}
    making = {"cloudwatch:PutMetricAlarm"} if most > 1 else set()
    for start, actions in {"DeploymentRole": removing | making, "LifecycleRemoveRole": removing}.items():
        kept = statements(stack, start)["KeepScalingAlarms"]
        assert (set(kept["Action"]), kept["Resource"]) == (actions, SCALING_ALARMS)
    for name, policy in _policies(stack).items():
        assert not iam_findings(policy), name
