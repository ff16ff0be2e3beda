"""The monitoring stack: machine, schedule, alarms, dashboard, and what its roles may do."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloudformation import PSEUDO, iam_findings, listed, resources

from infra.constructs.monitor_machine import _schedule
from infra.environments import load_environment
from infra.settings import EnvironmentSettings

STARS = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
# What Step Functions needs to write logs and traces; none of it has a resource type.
DELIVERY = {"logs", "xray"}


SCHEDULES = {
    1: "cron(20 * * * ? *)",
    6: "cron(20 0/6 * * ? *)",
    24: "cron(20 0 * * ? *)",
    36: "rate(36 hours)",
    168: "rate(7 days)",
}
ARNS = {
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/{}:*",
}


def _value(value: Any, template: dict[str, Any]) -> Any:
    """Sample values in place of intrinsic functions; an ARN ends in its resource's logical id."""
    if isinstance(value, list):
        return [_value(item, template) for item in value]
    if not isinstance(value, dict):
        return value
    name = next(iter(value), "")
    if len(value) == 1 and name in INTRINSIC:
        return INTRINSIC[name](value[name], template)
    return {key: _value(item, template) for key, item in value.items()}


def _reference(name: str, template: dict[str, Any]) -> str:
    if template["Resources"].get(name, {}).get("Type") == "AWS::StepFunctions::StateMachine":
        return f"arn:aws:states:us-east-1:123456789012:stateMachine:{name}"
    return PSEUDO.get(name, name)


def _arn(argument: list[str], template: dict[str, Any]) -> str:
    logical_id, _ = argument
    kind = template["Resources"][logical_id]["Type"]
    return ARNS.get(kind, f"arn:aws:{kind.split('::')[1].lower()}:us-east-1:123456789012:{{}}").format(logical_id)


def _substituted(text: str, _: dict[str, Any]) -> str:
    return functools.reduce(lambda done, item: done.replace(f"${{{item[0]}}}", item[1]), PSEUDO.items(), text)


INTRINSIC: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "Ref": _reference,
    "Fn::GetAtt": _arn,
    "Fn::Join": lambda argument, template: argument[0].join(_value(argument[1], template)),
    "Fn::Sub": _substituted,
}


@pytest.fixture
def stack(template, environment):
    return template(environment, "monitoring")


@pytest.fixture(scope="module")
def retraining(tmp_path_factory) -> dict[str, Any]:
    """The template of dev with retraining on drift."""
    from infra.app import build_app

    content = load_environment("dev").model_dump()
    settings = EnvironmentSettings.model_validate(content | {"monitoring": {"retrain_on_drift": True}})
    outdir = tmp_path_factory.mktemp("retraining") / "cdk.out"
    build_app(settings, outdir=outdir).synth()
    loaded: dict[str, Any] = json.loads((outdir / "imgpipe-dev-monitoring.template.json").read_text())
    return loaded


def _only(stack, kind):
    (found,) = resources(stack, kind).values()
    return _value(found["Properties"], stack)


def _statements(stack, start):
    policies = [body for name, body in resources(stack, "AWS::IAM::Policy").items() if name.startswith(start)]
    documents = [_value(body["Properties"]["PolicyDocument"], stack) for body in policies]
    return [statement for document in documents for statement in document["Statement"]]


def test_the_definition_parses_and_names_what_the_stack_makes(stack, environment):
    machine = _only(stack, "AWS::StepFunctions::StateMachine")
    assert machine["StateMachineName"] == f"imgpipe-{environment}-monitor"
    states = json.loads(machine["DefinitionString"])["States"]
    job = states["Compare"]["Parameters"]
    assert ".dkr.ecr.us-east-1.amazonaws.com/" in job["AppSpecification"]["ImageUri"]
    assert states["PutMetrics"]["Parameters"]["Namespace"] == "imgpipe"
    topic = states["Notify"]["Parameters"]["TopicArn"]
    assert topic == f"arn:aws:sns:us-east-1:123456789012:imgpipe-{environment}-notifications"


def test_the_schedule_is_on_where_requests_are_captured(stack, environment):
    settings = load_environment(environment)
    rules = [_value(body["Properties"], stack) for body in resources(stack, "AWS::Events::Rule").values()]
    (schedule,) = [rule for rule in rules if "ScheduleExpression" in rule]
    assert schedule["ScheduleExpression"] == SCHEDULES[settings.monitoring.every_hours]
    assert schedule["State"] == ("ENABLED" if settings.serving.capture_percent else "DISABLED")


@pytest.mark.parametrize("hours", SCHEDULES)
def test_runs_are_at_fixed_hours_where_the_day_can_be_divided(hours):
    assert _schedule(hours).expression_string == SCHEDULES[hours]


def test_every_alarm_notifies_and_names_its_runbook(stack, environment):
    alarms = [_value(body["Properties"], stack) for body in resources(stack, "AWS::CloudWatch::Alarm").values()]
    topic = f"arn:aws:sns:us-east-1:123456789012:imgpipe-{environment}-notifications"
    assert f"imgpipe-{environment}-drift" in {alarm["AlarmName"] for alarm in alarms}
    for alarm in alarms:
        assert alarm["AlarmActions"] == [topic]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert "What to do: docs/operations.md#alarm-" in alarm["AlarmDescription"]


def test_the_drift_alarm_watches_the_metric_that_the_machine_puts(stack, environment):
    alarms = [_value(body["Properties"], stack) for body in resources(stack, "AWS::CloudWatch::Alarm").values()]
    (drift,) = [alarm for alarm in alarms if alarm["AlarmName"].endswith("-drift")]
    endpoint = load_environment(environment).endpoint_name
    assert (drift["Namespace"], drift["MetricName"]) == ("imgpipe", "Drift")
    assert drift["Dimensions"] == [{"Name": "EndpointName", "Value": endpoint}]
    assert (drift["Threshold"], drift["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")


def test_every_end_of_the_monitor_but_success_is_an_alarm(stack, environment):
    alarms = {
        alarm["MetricName"]: alarm
        for body in resources(stack, "AWS::CloudWatch::Alarm").values()
        if (alarm := _value(body["Properties"], stack))["AlarmName"].startswith(f"imgpipe-{environment}-monitor-")
    }
    assert alarms.keys() == {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}
    arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:imgpipe-{environment}-monitor"
    for alarm in alarms.values():
        assert alarm["Namespace"] == "AWS/States"
        assert alarm["Dimensions"] == [{"Name": "StateMachineArn", "Value": arn}]
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 1)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


def test_the_dashboard_is_json_with_every_alarm(stack, environment):
    dashboard = _only(stack, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == f"imgpipe-{environment}"
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    assert len(widgets[0]["properties"]["alarms"]) == len(resources(stack, "AWS::CloudWatch::Alarm"))
    assert {widget["properties"]["region"] for widget in widgets[1:]} == {"us-east-1"}


def test_without_the_setting_nothing_can_start_retraining(stack):
    assert "StartPipelineExecution" not in json.dumps(stack)
    assert not any("EventPattern" in body["Properties"] for body in resources(stack, "AWS::Events::Rule").values())


def test_the_monitor_starts_retraining_where_the_setting_says_so(retraining):
    states = json.loads(_only(retraining, "AWS::StepFunctions::StateMachine")["DefinitionString"])["States"]
    arn = states["StartRetrain"]["Parameters"]["FunctionName"]
    function = retraining["Resources"][arn.rsplit(":", 1)[1]]["Properties"]
    assert function["FunctionName"] == "imgpipe-dev-start-retrain"
    assert function["Environment"]["Variables"]["PIPELINE_NAME"] == "imgpipe-dev-retrain"
    called = {statement.get("Sid", ""): statement for statement in _statements(retraining, "Machine")}["CallFunctions"]
    assert set(called["Resource"]) == {arn, states["SelectWindow"]["Parameters"]["FunctionName"]}


def test_retraining_reaches_its_pipeline_and_topic_alone(retraining):
    allowed = {
        action: statement["Resource"]
        for statement in _statements(retraining, "Retrain")
        for action in listed(statement["Action"])
        if not action.startswith("logs:")
    }
    pipeline = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/imgpipe-dev-retrain"
    assert allowed == {
        "sagemaker:ListPipelineExecutions": pipeline,
        "sagemaker:StartPipelineExecution": pipeline,
        "sns:Publish": "arn:aws:sns:us-east-1:123456789012:imgpipe-dev-notifications",
    }


def test_jobs_read_their_inputs_and_write_results_alone(stack, environment):
    found = {statement["Sid"]: statement for statement in _statements(stack, "Job")}
    endpoint = load_environment(environment).endpoint_name
    bucket = f"arn:aws:s3:::imgpipe-{environment}-artifacts-123456789012-us-east-1"
    assert found["WriteResults"] == {
        "Sid": "WriteResults",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": f"{bucket}/monitor/{endpoint}/*",
    }
    assert set(found["ReadInputs"]["Resource"]) == {
        f"{bucket}/{prefix}/*" for prefix in (f"capture/{endpoint}", "ground-truth", "models", f"monitor/{endpoint}")
    }
    assert not any("cloudwatch" in action for item in found.values() for action in listed(item["Action"]))


def test_only_the_jobs_may_list_without_a_prefix(stack):
    """SageMaker's own checks of a bucket name none; the function always does."""
    [function] = [item for item in _statements(stack, "Window") if item.get("Sid") == "ListFiles"]
    assert set(function["Condition"]) == {"StringLike"}
    [job] = [item for item in _statements(stack, "Job") if item.get("Sid") == "ListInputs"]
    assert set(job["Condition"]) == {"StringLikeIfExists"}


def test_the_machine_passes_one_role_to_sagemaker_alone(stack):
    found = {statement.get("Sid", ""): statement for statement in _statements(stack, "Machine")}
    passed = found["PassJobRole"]
    assert passed["Resource"].endswith(tuple(name for name in resources(stack, "AWS::IAM::Role") if "Job" in name))
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert found["PutMetrics"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "imgpipe"}}
    assert found["RunJob"]["Resource"].endswith("-monitor-*")
    assert {"sagemaker:AddTags", "sagemaker:ListTags"} <= set(found["RunJob"]["Action"])


def test_no_wildcard_but_where_iam_knows_no_other(stack, retraining):
    for template in (stack, retraining):
        statements = _statements(template, "")
        actions = {action for statement in statements for action in listed(statement["Action"])}
        assert not [action for action in actions if "*" in action]
        stars = {
            action
            for statement in statements
            if "*" in listed(statement["Resource"])
            for action in listed(statement["Action"])
            if action.split(":")[0] not in DELIVERY
        }
        assert stars == STARS


def test_iam_knows_every_action_with_its_resources_and_conditions(stack, retraining):
    for template in (stack, retraining):
        for name, body in resources(template, "AWS::IAM::Policy").items():
            assert not iam_findings(_value(body["Properties"]["PolicyDocument"], template)), name


def test_outputs_are_what_the_command_line_reads(stack, environment):
    outputs = {name: _value(body["Value"], stack) for name, body in stack["Outputs"].items()}
    assert outputs == {
        "MonitorStateMachineArn": f"arn:aws:states:us-east-1:123456789012:stateMachine:imgpipe-{environment}-monitor",
        "DashboardName": f"imgpipe-{environment}",
    }


def test_the_image_is_the_pipelines_own(template, assembly):
    machine = _only(template("dev", "monitoring"), "AWS::StepFunctions::StateMachine")
    image = json.loads(machine["DefinitionString"])["States"]["Compare"]["Parameters"]["AppSpecification"]["ImageUri"]
    outdir: Path = assembly("dev")
    assets = json.loads((outdir / "imgpipe-dev-training.assets.json").read_text())["dockerImages"]
    assert assets[image.rsplit(":", 1)[1]]["source"]["dockerFile"] == "containers/imaging/Dockerfile"
