"""What the monitoring stack raises alarms for, as specifications."""

from __future__ import annotations

from infra.constructs.alarms import AlarmSpec
from infra.settings import EnvironmentSettings
from infra.workflows.monitor import ENDPOINT_DIMENSION, METRIC_NAMESPACE
from pipeline_def.settings import PIPELINES

# "SageMaker pipelines metrics" in the developer guide; the spelling is the service's.
PIPELINE_NAMESPACE = "AWS/Sagemaker/ModelBuildingPipeline"
# Queues of other stacks that hold what nobody could work off, by name.
FAILURE_QUEUES = ("classify-failures", "review-failures.fifo")
# Ends of executions, by what an alarm calls them: the metrics of Step Functions, and what happened.
_FAILED = {"failed": ("ExecutionsFailed", "failed")}
_ENDS = {**_FAILED, "timed-out": ("ExecutionsTimedOut", "timed out"), "stopped": ("ExecutionsAborted", "was stopped")}
# Of the deployment's other ends a rule of its own tells, and of the classification's the queue of failures.
MACHINE_ENDS = {"monitor": _ENDS, "deploy": _FAILED}
# MOST_HOURS of functions/select_window: captures of before are left out of a window.
LONGEST_WINDOW_DAYS = 7


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
    return [
        drift,
        _no_verdict(settings),
        *pipelines,
        *_machines(settings, state_machine_arns),
        *_queues(settings),
        *_retrain(settings),
    ]


def no_verdict_hours(settings: EnvironmentSettings) -> int:
    """How long images may wait for a verdict: the longest window's days, but captures must not be gone by then."""
    return 24 * min(LONGEST_WINDOW_DAYS, settings.serving.capture_expiry_days)


def _no_verdict(settings: EnvironmentSettings) -> AlarmSpec:
    hours = no_verdict_hours(settings)
    return AlarmSpec(
        name="no-verdict",
        what=f"What {settings.endpoint_name} was asked has waited for a verdict of the monitor for {hours // 24} days",
        namespace=METRIC_NAMESPACE,
        metric="UndecidedHours",
        dimensions={ENDPOINT_DIMENSION: settings.endpoint_name},
        statistic="Maximum",
        # A day: shorter, and every daily run would fire it anew.
        period_minutes=24 * 60,
        threshold=hours,
    )


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
