"""The monitor's machine and the dashboard's body as plain data, and the runbook that alarms point into."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import pytest

from infra.constructs.monitoring_alarms import LONGEST_WINDOW_DAYS, alarm_specs
from infra.dashboard import WIDTH, dashboard_body
from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from infra.workflows.monitor import Targets, monitor_machine
from pipeline_def.settings import PIPELINES

ROOT = Path(__file__).parents[3]
TARGETS = Targets(
    partition="aws",
    select_window_arn="arn:aws:lambda:us-east-1:123456789012:function:imgpipe-dev-select-window",
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:abc",
    job_role_arn="arn:aws:iam::123456789012:role/job",
    bucket="imgpipe-dev-artifacts",
    topic_arn="arn:aws:sns:us-east-1:123456789012:imgpipe-dev-notifications",
)
MACHINES = {
    name: f"arn:aws:states:us-east-1:123456789012:stateMachine:imgpipe-dev-{name}"
    for name in ("deploy", "classify", "classify-prefix", "monitor")
}
RETRAINING = dataclasses.replace(
    TARGETS, start_retrain_arn="arn:aws:lambda:us-east-1:123456789012:function:imgpipe-dev-start-retrain"
)
SELECTED = {
    "$.selected.window.job_name": "imgpipe-dev-monitor-20260131-120000",
    "$.selected.window.output_uri": "s3://imgpipe-dev-artifacts/monitor/imgpipe-dev/2026-01-31T12",
    **{
        f"$.selected.window.{name}": f"s3://imgpipe-dev-artifacts/monitor/{name}.json"
        for name in ("capture", "baseline", "ground_truth", "history")
    },
}


@pytest.fixture
def settings() -> EnvironmentSettings:
    return load_environment("dev")


def _changed(settings: EnvironmentSettings, **sections: dict[str, Any]) -> EnvironmentSettings:
    content = settings.model_dump()
    return EnvironmentSettings.model_validate(content | {name: content[name] | new for name, new in sections.items()})


def _filled(value: Any) -> Any:
    """The parameters with sample values in place of paths, as Step Functions would send them."""
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {}
    for key, item in value.items():
        if not key.endswith(".$"):
            filled[key] = _filled(item)
        elif item.startswith("States.Array("):
            filled[key[:-2]] = re.findall(r"'([^']*)'|\$[\w.]+", item)
        else:
            filled[key[:-2]] = SELECTED[item]
    return filled


@pytest.mark.parametrize("targets", [TARGETS, RETRAINING], ids=["alone", "retraining"])
def test_every_state_is_reached_and_every_successor_exists(settings: EnvironmentSettings, targets: Targets) -> None:
    machine = monitor_machine(settings, targets)
    followed = {machine["StartAt"]}
    for state in machine["States"].values():
        followed |= {state[key] for key in ("Next", "Default") if key in state}
        followed |= {rule["Next"] for key in ("Choices", "Catch") for rule in state.get(key, [])}
    assert followed == set(machine["States"])


def test_every_task_is_caught_and_tried_again(settings: EnvironmentSettings) -> None:
    states = monitor_machine(settings, RETRAINING)["States"]
    tasks = {name: state for name, state in states.items() if state["Type"] == "Task"}
    assert set(tasks) == {"SelectWindow", "Compare", "ReadResult", "PutMetrics", "StartRetrain", "Notify"}
    for name, state in tasks.items():
        assert state["Retry"], name
        assert state["TimeoutSeconds"] > 0
        if name != "Notify":
            assert [rule["Next"] for rule in state["Catch"]] == ["Caught"], name
    # A time-out may have no cause, and a path that leads nowhere is an error that no state catches.
    assert states["Caught"]["Choices"] == [{"Variable": "$.error.Cause", "IsPresent": True, "Next": "Notify"}]
    filled = states[states["Caught"]["Default"]]
    assert (filled["ResultPath"], filled["Next"], bool(filled["Parameters"]["Cause"])) == ("$.error", "Notify", True)
    assert states["Notify"]["Next"] == "Failed"
    assert states["Failed"]["Type"] == "Fail"


def test_errors_that_pass_are_tried_again(settings: EnvironmentSettings) -> None:
    states = monitor_machine(settings, RETRAINING)["States"]
    retried = {
        name: {error for rule in state["Retry"] for error in rule["ErrorEquals"]}
        for name, state in states.items()
        if state["Type"] == "Task"
    }
    assert "SageMaker.AmazonSageMakerException" in retried["Compare"]
    for name in ("ReadResult", "PutMetrics", "StartRetrain"):
        assert "States.TaskFailed" in retried[name], name
    # the function's own limit is five minutes: it says what is wrong before the state loses patience
    assert states["SelectWindow"]["TimeoutSeconds"] == 330


def test_a_look_at_other_hours_puts_no_metrics_and_starts_nothing(settings: EnvironmentSettings) -> None:
    states = monitor_machine(settings, RETRAINING)["States"]
    published = {"Variable": "$.selected.window.publish", "BooleanEquals": True, "Next": "PutMetrics"}
    assert states["ReadResult"]["Next"] == "IsPublished"
    assert states["IsPublished"] == {"Type": "Choice", "Choices": [published], "Default": "Compared"}


def test_every_window_that_drifts_asks_for_retraining(settings: EnvironmentSettings) -> None:
    states = monitor_machine(settings, RETRAINING)["States"]
    assert states["PutMetrics"]["Next"] == "IsDrift"
    assert [(rule["StringEquals"], rule["Next"]) for rule in states["IsDrift"]["Choices"]] == [
        ("drift", "StartRetrain")
    ]
    assert states["StartRetrain"]["Parameters"] == {
        "FunctionName": RETRAINING.start_retrain_arn,
        "Payload": {"id.$": "$$.Execution.Id", "time.$": "$$.Execution.StartTime"},
    }
    assert monitor_machine(settings, TARGETS)["States"]["PutMetrics"]["Next"] == "Compared"


def test_the_job_is_what_the_service_takes(settings: EnvironmentSettings) -> None:
    parameters = _filled(monitor_machine(settings, TARGETS)["States"]["Compare"]["Parameters"])
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateProcessingJob")
    report = botocore.validate.ParamValidator().validate(parameters, shape.input_shape)
    assert not report.has_errors(), report.generate_report()
    assert parameters["NetworkConfig"] == {"EnableNetworkIsolation": True}
    assert parameters["AppSpecification"]["ContainerEntrypoint"] == ["python", "-m", "monitor"]
    assert [item["InputName"] for item in parameters["ProcessingInputs"]] == [
        "capture",
        "baseline",
        "ground-truth",
        "history",
    ]


def test_settings_reach_the_program(settings: EnvironmentSettings) -> None:
    resources = {"instance_type": "ml.m5.xlarge", "volume_size_gb": 77, "max_runtime_minutes": 60}
    changed = _changed(settings, monitoring={"min_records": 777, **resources})
    job = monitor_machine(changed, TARGETS)["States"]["Compare"]["Parameters"]
    arguments = job["AppSpecification"]["ContainerArguments.$"]
    assert "'--min-records', '777', '--endpoint', 'imgpipe-dev'" in arguments
    assert "'--since', $.selected.window.since" in arguments
    assert "'--model-name', $.selected.window.model_name" in arguments
    cluster = job["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceType"], cluster["VolumeSizeInGB"]) == ("ml.m5.xlarge", 77)
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert monitor_machine(changed, TARGETS)["States"]["Compare"]["TimeoutSeconds"] == 7200


def test_equal_settings_give_equal_text(settings: EnvironmentSettings) -> None:
    first, second = (json.dumps(monitor_machine(load_environment("dev"), TARGETS)) for _ in range(2))
    assert first == second


def test_every_alarm_has_its_section_in_the_runbook(settings: EnvironmentSettings) -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    changed = _changed(settings, monitoring={"retrain_on_drift": True})
    specs = alarm_specs(changed, state_machine_arns=MACHINES)
    assert {spec.anchor for spec in specs} <= anchors
    assert len({spec.name for spec in specs}) == len(specs)


def test_failures_of_every_pipeline_are_alarms(settings: EnvironmentSettings) -> None:
    names = {spec.name for spec in alarm_specs(settings, state_machine_arns=MACHINES)}
    assert {f"pipeline-{pipeline}-failed" for pipeline in PIPELINES} <= names
    assert {"drift", "monitor-failed", "classify-failures"} <= names
    assert "start-retrain-failed" not in names


@pytest.mark.parametrize(("expiry_days", "hours"), [(90, 168), (14, 168), (5, 120)])
def test_images_that_wait_for_a_verdict_too_long_are_an_alarm(
    settings: EnvironmentSettings, expiry_days: int, hours: int
) -> None:
    """As long as a window can reach back, and no longer than captures are kept: the metric could not reach more."""
    changed = _changed(settings, serving={"capture_expiry_days": expiry_days}, monitoring={"label_days": 5})
    [spec] = [item for item in alarm_specs(changed, state_machine_arns=MACHINES) if item.name == "no-verdict"]
    assert (spec.metric, spec.statistic, spec.threshold) == ("UndecidedHours", "Maximum", hours)
    assert spec.period_minutes == 24 * 60
    window = (ROOT / "functions/select_window/window.py").read_text(encoding="utf-8")
    assert f"MOST_HOURS = timedelta(days={LONGEST_WINDOW_DAYS})" in window
    metrics = (ROOT / "processing/monitor/monitor_json.py").read_text(encoding="utf-8")
    assert f'"{spec.metric}"' in metrics


def _dashboard(settings: EnvironmentSettings) -> list[dict[str, Any]]:
    body = dashboard_body(
        settings, region="us-east-1", state_machine_arns=MACHINES, alarm_arns=["arn:aws:cloudwatch:::alarm:x"]
    )
    widgets: list[dict[str, Any]] = body["widgets"]
    return widgets


def test_widgets_lie_side_by_side_and_hold_metrics(settings: EnvironmentSettings) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in _dashboard(settings):
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < WIDTH
        taken |= cells
        for metric in widget["properties"].get("metrics", []):
            names = metric[:-1] if isinstance(metric[-1], dict) else metric
            assert len(names) % 2 == 0, metric
            assert all(isinstance(name, str) for name in names)


def test_what_people_ask_for_is_on_the_dashboard(settings: EnvironmentSettings) -> None:
    text = json.dumps(_dashboard(settings))
    for name in (
        "Invocations",
        "ModelLatency",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "DriftScore",
        "LiveAccuracy",
        "UndecidedHours",
        "ExecutionSucceeded",
        "ExecutionFailed",
        "ExecutionsFailed",
        "imgpipe-dev-review.fifo",
        "imgpipe-dev-classify-failures",
        "StepDuration",
    ):
        assert f'"{name}"' in text, name
    assert '"p50"' in text
    assert '"p99"' in text


@pytest.mark.parametrize(
    ("kind", "shown", "absent"),
    [
        ("realtime", "CPUUtilization", "ServerlessConcurrentExecutionsUtilization"),
        ("serverless", "ServerlessConcurrentExecutionsUtilization", "CPUUtilization"),
    ],
)
def test_what_costs_depends_on_the_kind_of_endpoint(
    settings: EnvironmentSettings, kind: str, shown: str, absent: str
) -> None:
    serving = {"kind": kind} | ({"capture_percent": 0, "network_isolation": False} if kind == "serverless" else {})
    text = json.dumps(_dashboard(_changed(settings, serving=serving)))
    assert shown in text
    assert absent not in text
