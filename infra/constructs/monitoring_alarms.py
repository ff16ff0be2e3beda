"""The alarms of the monitoring stack; each says what happened and where docs/operations.md says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.settings import EnvironmentSettings
from infra.workflows.monitor import ENDPOINT_DIMENSION, METRIC_NAMESPACE
from pipeline_def.settings import PIPELINES

RUNBOOK = "docs/operations.md"
# "SageMaker pipelines metrics" in the developer guide; the spelling is the service's.
PIPELINE_NAMESPACE = "AWS/Sagemaker/ModelBuildingPipeline"
# Queues of other stacks that hold what nobody could work off, by name.
FAILURE_QUEUES = ("classify-failures", "review-failures.fifo")
# Ends of executions, by what an alarm calls them: the metrics of Step Functions, and what happened.
_FAILED = {"failed": ("ExecutionsFailed", "failed")}
_ENDS = {**_FAILED, "timed-out": ("ExecutionsTimedOut", "timed out"), "stopped": ("ExecutionsAborted", "was stopped")}
# Of the deployment's other ends a rule of its own tells, and of the classification's the queue of failures.
MACHINE_ENDS = {"monitor": _ENDS, "deploy": _FAILED}


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """One alarm on a metric that reaches 1; ``runbook`` is the anchor's end where several share one."""

    name: str
    what: str
    namespace: str
    metric: str
    dimensions: dict[str, str] = field(hash=False)
    statistic: str = "Sum"
    period_minutes: int = 5
    runbook: str = ""

    @property
    def anchor(self) -> str:
        """The anchor of its section."""
        return f"alarm-{self.runbook or self.name}"


def alarm_specs(settings: EnvironmentSettings, *, state_machine_arns: dict[str, str]) -> list[AlarmSpec]:
    """All alarms of the stack, the drift alarm first."""
    drift = AlarmSpec(
        name="drift",
        what=f"What {settings.endpoint_name} is asked differs from what its model was tested on",
        namespace=METRIC_NAMESPACE,
        metric="Drift",
        dimensions={ENDPOINT_DIMENSION: settings.endpoint_name},
        statistic="Maximum",
        # One result an hour at most; longer, and the alarm would not fire anew with the next window.
        period_minutes=60,
    )
    pipelines = [
        AlarmSpec(
            name=f"pipeline-{name}-failed",
            what=f"An execution of the pipeline {settings.pipeline_name(name)} failed",
            namespace=PIPELINE_NAMESPACE,
            metric="ExecutionFailed",
            dimensions={"PipelineName": settings.pipeline_name(name)},
            runbook="pipeline-failed",
        )
        for name in PIPELINES
    ]
    return [drift, *pipelines, *_machines(settings, state_machine_arns), *_queues(settings), *_retrain(settings)]


def _machines(settings: EnvironmentSettings, arns: dict[str, str]) -> list[AlarmSpec]:
    return [
        AlarmSpec(
            name=f"{machine}-{end}",
            what=f"An execution of the state machine {settings.state_machine_name(machine)} {happened}",
            namespace="AWS/States",
            metric=metric,
            dimensions={"StateMachineArn": arns[machine]},
            runbook=f"{machine}-failed",
        )
        for machine, ends in MACHINE_ENDS.items()
        for end, (metric, happened) in ends.items()
    ]


def _queues(settings: EnvironmentSettings) -> list[AlarmSpec]:
    return [
        AlarmSpec(
            name=queue.removesuffix(".fifo"),
            what=f"The queue {settings.prefix}-{queue} holds what could not be worked off",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": f"{settings.prefix}-{queue}"},
            statistic="Maximum",
            runbook="failure-queue",
        )
        for queue in FAILURE_QUEUES
    ]


def _retrain(settings: EnvironmentSettings) -> list[AlarmSpec]:
    if not settings.monitoring.retrain_on_drift:
        return []
    function = f"{settings.prefix}-start-retrain"
    return [
        AlarmSpec(
            name="start-retrain-failed",
            what=f"The function {function} could not decide on, or start, a retraining",
            namespace="AWS/Lambda",
            metric="Errors",
            dimensions={"FunctionName": function},
        )
    ]


class MonitoringAlarms(Construct):
    """Alarms `<prefix>-<name>`; silence is no alarm."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        specs: Sequence[AlarmSpec],
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.by_name = {spec.name: self._alarm(settings, spec, topic) for spec in specs}

    def _alarm(self, settings: EnvironmentSettings, spec: AlarmSpec, topic: sns.ITopic) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in spec.name.split("-")),
            alarm_name=f"{settings.prefix}-{spec.name}",
            alarm_description=f"{spec.what}. What to do: {RUNBOOK}#{spec.anchor}",
            metric=cloudwatch.Metric(
                namespace=spec.namespace,
                metric_name=spec.metric,
                dimensions_map=spec.dimensions,
                statistic=spec.statistic,
                period=cdk.Duration.minutes(spec.period_minutes),
            ),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
        return alarm
