"""The monitor's state machine: its role, and the schedule that starts it."""

from __future__ import annotations

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


class MonitorMachine(Construct):
    """`<prefix>-monitor`, every monitoring.every_hours; where nothing is captured the schedule is off."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        targets: Targets,
        select_window: lambda_.IFunction,
        job_role: iam.IRole,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._targets = settings, targets
        defined = DefinedMachine(
            self, "Monitor", settings=settings, purpose="monitor", definition=monitor_machine(settings, targets)
        )
        self.machine, self.arn = defined.machine, defined.arn
        for statement in self._statements(defined.role, select_window, job_role):
            defined.role.add_to_policy(statement)
        self._build_schedule()

    def _statements(
        self, role: iam.Role, select_window: lambda_.IFunction, job_role: iam.IRole
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
            allow("SelectWindow", ["lambda:InvokeFunction"], [select_window.function_arn]),
            allow("RunJob", [*run, "sagemaker:AddTags"], [jobs]),
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
            schedule=events.Schedule.rate(cdk.Duration.hours(settings.monitoring.every_hours)),
            enabled=settings.serving.capture_percent > 0,
        )
        rule.add_target(targets.SfnStateMachine(self.machine))
