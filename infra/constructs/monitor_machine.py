"""The monitor's state machine: its role, and the schedule that starts it."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.state_machine import DefinedMachine
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings
from infra.workflows.monitor import METRIC_NAMESPACE, Targets, job_name_prefix, monitor_machine

# The rule by which Step Functions learns that a job has ended: "Integrate Amazon SageMaker AI", IAM policies.
_JOB_EVENTS_RULE = "StepFunctionsGetEventsForSageMakerProcessingJobsRule"

_HOURS_OF_A_DAY = 24
# After the files of the last hour have arrived, for which the function that selects them allows 15 minutes.
_MINUTE = "20"


class MonitorMachine(Construct):
    """`<prefix>-monitor`, every monitoring.every_hours; where nothing is captured the schedule is off.

    `functions` are those that its states call.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        targets: Targets,
        functions: Sequence[lambda_.IFunction],
        job_role: iam.IRole,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._targets = settings, targets
        defined = DefinedMachine(
            self, "Monitor", settings=settings, purpose="monitor", definition=monitor_machine(settings, targets)
        )
        self.machine, self.arn = defined.machine, defined.arn
        for statement in self._statements(defined.role, functions, job_role):
            defined.role.add_to_policy(statement)
        self._build_schedule()

    def _statements(
        self, role: iam.Role, functions: Sequence[lambda_.IFunction], job_role: iam.IRole
    ) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        jobs = stack.format_arn(
            service="sagemaker", resource="processing-job", resource_name=f"{job_name_prefix(self._settings)}-*"
        )
        results = (
            f"arn:{stack.partition}:s3:::{self._targets.bucket}/monitor/{self._settings.endpoint_name}/*/monitor.json"
        )
        acknowledge_wildcard(role, jobs, reason="A job is named by the moment at which its run began.")
        acknowledge_wildcard(role, results, reason="A result lies below the hour in which its window ends.")
        run = [f"sagemaker:{action}ProcessingJob" for action in ("Create", "Describe", "Stop")]
        rule = stack.format_arn(service="events", resource="rule", resource_name=_JOB_EVENTS_RULE)
        return [
            allow("CallFunctions", ["lambda:InvokeFunction"], [function.function_arn for function in functions]),
            # Of the tags it lists, see "IAM policies for Amazon SageMaker" in the Step Functions guide.
            allow("RunJob", [*run, "sagemaker:AddTags", "sagemaker:ListTags"], [jobs]),
            allow(
                "PassJobRole",
                ["iam:PassRole"],
                [job_role.role_arn],
                {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
            allow("HearOfJobs", ["events:PutTargets", "events:PutRule", "events:DescribeRule"], [rule]),
            allow("ReadResult", ["s3:GetObject"], [results]),
            allow(
                "PutMetrics",
                ["cloudwatch:PutMetricData"],
                ["*"],
                {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}},
            ),
            allow("Notify", ["sns:Publish"], [self._targets.topic_arn]),
        ]

    def _build_schedule(self) -> None:
        settings = self._settings
        rule = events.Rule(
            self,
            "Schedule",
            rule_name=f"{settings.prefix}-monitor",
            description=f"Starts the monitor of {settings.endpoint_name}",
            schedule=_schedule(settings.monitoring.every_hours),
            enabled=settings.serving.capture_percent > 0,
        )
        rule.add_target(targets.SfnStateMachine(self.machine))


def _schedule(every_hours: int) -> events.Schedule:
    """A fixed time of the day where one is possible: a rate counts from the last deployment of the rule."""
    if _HOURS_OF_A_DAY % every_hours:
        return events.Schedule.rate(cdk.Duration.hours(every_hours))
    hour = {1: "*", _HOURS_OF_A_DAY: "0"}.get(every_hours, f"0/{every_hours}")
    return events.Schedule.cron(minute=_MINUTE, hour=hour)
