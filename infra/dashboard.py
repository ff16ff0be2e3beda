"""The body of the CloudWatch dashboard, as plain data: a pure function of settings and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.constructs.monitoring_alarms import FAILURE_QUEUES, PIPELINE_NAMESPACE, no_verdict_hours
from infra.settings import EnvironmentSettings
from infra.workflows.monitor import ENDPOINT_DIMENSION, METRIC_NAMESPACE
from pipeline_def.settings import PIPELINES

VARIANT: Final = "AllTraffic"
WIDTH: Final = 24
_HEIGHT: Final = 6
_ROW: Final = 3
SCORES: Final = (
    "PredictionMixPsi",
    "ConfidenceDistance",
    "BrightnessDistance",
    "ContrastDistance",
    "AspectDistance",
    "EmbeddingDistance",
)
# The step of each pipeline whose jobs cost most.
TRAINING_STEPS: Final = {"train": "Train", "retrain": "Train", "tune": "Tune"}
_DAY: Final = 86_400
_HOUR: Final = 3600
_MINUTE: Final = 60
# CloudWatch's form of a metric: namespace, name, dimension names and values, rendering options.
Metric = list[Any]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One widget; lines at ``limits`` are drawn across it."""

    title: str
    metrics: Sequence[Metric]
    statistic: str = "Sum"
    period: int = 5 * _MINUTE
    limits: Sequence[tuple[str, float]] = ()


def dashboard_body(
    settings: EnvironmentSettings, *, region: str, state_machine_arns: Mapping[str, str], alarm_arns: Sequence[str]
) -> dict[str, Any]:
    """Return the body: alarms on top, then endpoint, drift, pipelines, workflows and what costs money.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    charts = [
        *_endpoint(settings),
        *_drift(settings),
        *_pipelines(settings),
        *_workflows(settings, state_machine_arns),
        *_cost(settings),
    ]
    alarms = {
        "type": "alarm",
        "x": 0,
        "y": 0,
        "width": WIDTH,
        "height": 3,
        "properties": {"title": "Alarms", "alarms": list(alarm_arns)},
    }
    return {"widgets": [alarms, *(_widget(chart, place, region) for place, chart in enumerate(charts))]}


def _widget(chart: Chart, place: int, region: str) -> dict[str, Any]:
    row, column = divmod(place, _ROW)
    properties: dict[str, Any] = {
        "title": chart.title,
        "view": "timeSeries",
        "region": region,
        "stat": chart.statistic,
        "period": chart.period,
        "metrics": [list(metric) for metric in chart.metrics],
    }
    if chart.limits:
        properties["annotations"] = {"horizontal": [{"label": label, "value": value} for label, value in chart.limits]}
    width = WIDTH // _ROW
    return {
        "type": "metric",
        "x": column * width,
        "y": 3 + row * _HEIGHT,
        "width": width,
        "height": _HEIGHT,
        "properties": properties,
    }


def _of_endpoint(settings: EnvironmentSettings, name: str, namespace: str = "AWS/SageMaker", **options: Any) -> Metric:
    metric: Metric = [namespace, name, "EndpointName", settings.endpoint_name, "VariantName", VARIANT]
    return [*metric, options] if options else metric


def _endpoint(settings: EnvironmentSettings) -> list[Chart]:
    latency = [
        _of_endpoint(settings, name, stat=statistic, label=f"{label} {statistic}")
        for name, label in {"ModelLatency": "model", "OverheadLatency": "overhead"}.items()
        for statistic in ("p50", "p99")
    ]
    errors = [_of_endpoint(settings, f"Invocation{kind}Errors") for kind in ("4XX", "5XX", "Model")]
    limit = 1000 * settings.serving.latency_ms
    return [
        Chart(title="Invocations", metrics=[_of_endpoint(settings, "Invocations")]),
        Chart(title="Latency, microseconds", metrics=latency, limits=[("roll-back, model p99", limit)]),
        Chart(title="Refused and failed requests", metrics=errors),
    ]


def _drift(settings: EnvironmentSettings) -> list[Chart]:
    def metric(name: str) -> Metric:
        return [METRIC_NAMESPACE, name, ENDPOINT_DIMENSION, settings.endpoint_name]

    return [
        Chart(
            title="Largest score, in thresholds",
            metrics=[metric("DriftScore")],
            statistic="Maximum",
            period=_HOUR,
            limits=[("drift", 1)],
        ),
        Chart(title="Scores", metrics=[metric(name) for name in SCORES], statistic="Maximum", period=_HOUR),
        Chart(title="Live accuracy, percent", metrics=[metric("LiveAccuracy")], statistic="Average", period=_HOUR),
        Chart(
            title="Captured images",
            metrics=[
                metric(name) for name in ("CapturedImages", "DistinctImages", "LabelledImages", "CaptureProblems")
            ],
            period=_HOUR,
        ),
        Chart(
            title="Hours that images have waited for a verdict",
            metrics=[metric("UndecidedHours")],
            statistic="Maximum",
            period=_HOUR,
            limits=[("no verdict", no_verdict_hours(settings))],
        ),
    ]


def _pipelines(settings: EnvironmentSettings) -> list[Chart]:
    def metrics(name: str) -> list[Metric]:
        return [
            [PIPELINE_NAMESPACE, name, "PipelineName", settings.pipeline_name(pipeline), {"label": pipeline}]
            for pipeline in PIPELINES
        ]

    return [
        Chart(title="Pipeline executions that succeeded", metrics=metrics("ExecutionSucceeded"), period=_DAY),
        Chart(title="Pipeline executions that failed", metrics=metrics("ExecutionFailed"), period=_DAY),
    ]


def _workflows(settings: EnvironmentSettings, arns: Mapping[str, str]) -> list[Chart]:
    failed = [
        ["AWS/States", "ExecutionsFailed", "StateMachineArn", arn, {"label": purpose}] for purpose, arn in arns.items()
    ]

    def queue(name: str) -> Metric:
        return [
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "QueueName",
            f"{settings.prefix}-{name}",
            {"label": name},
        ]

    return [
        Chart(title="State machine executions that failed", metrics=failed),
        Chart(title="Images to review", metrics=[queue("review.fifo")], statistic="Maximum"),
        Chart(title="Dead letters", metrics=[queue(name) for name in FAILURE_QUEUES], statistic="Maximum"),
    ]


def _cost(settings: EnvironmentSettings) -> list[Chart]:
    """What the bill counts: running instances or used concurrency, and the time that training takes."""
    if settings.serving.kind == "serverless":
        running = Chart(
            title="Serverless concurrency in use, share of the limit",
            metrics=[_of_endpoint(settings, "ServerlessConcurrentExecutionsUtilization")],
            statistic="Maximum",
        )
    else:
        # Every instance reports its processor once a minute, so that the number of reports is that of instances.
        running = Chart(
            title="Instances of the endpoint",
            metrics=[_of_endpoint(settings, "CPUUtilization", "/aws/sagemaker/Endpoints", label="instances")],
            statistic="SampleCount",
            period=_MINUTE,
        )
    steps = [
        [
            PIPELINE_NAMESPACE,
            "StepDuration",
            "PipelineName",
            settings.pipeline_name(pipeline),
            "StepName",
            step,
            {"label": f"{pipeline}: {step}"},
        ]
        for pipeline, step in TRAINING_STEPS.items()
    ]
    return [running, Chart(title="Time of training steps", metrics=steps, period=_DAY)]
