"""Removes an endpoint that nobody uses: an hourly look at its requests."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.alarms import Alarms, AlarmSpec
from infra.constructs.python_function import PythonFunction
from infra.constructs.scaling_alarms import allow_scaling_alarms
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings

_NAME = "stop-idle-endpoint"


class IdleShutdown(Construct):
    """functions/stop_idle_endpoint, called every hour."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, topic: sns.ITopic, idle_hours: int
    ) -> None:
        super().__init__(scope, construct_id)
        stop = PythonFunction(
            self,
            "Stop",
            settings=settings,
            folder="stop_idle_endpoint",
            name=_NAME,
            description=f"Removes {settings.endpoint_name} after {idle_hours} hours without a request",
            timeout=cdk.Duration.minutes(2),
            environment={
                "ENDPOINT_NAME": settings.endpoint_name,
                "IDLE_HOURS": str(idle_hours),
                "TOPIC_ARN": topic.topic_arn,
            },
        )
        for statement in self._statements(settings, stop.role, topic):
            stop.role.add_to_policy(statement)
        events.Rule(
            self,
            "Hourly",
            rule_name=f"{settings.prefix}-idle",
            description=f"Looks every hour whether {settings.endpoint_name} is used",
            schedule=events.Schedule.rate(cdk.Duration.hours(1)),
            targets=[targets.LambdaFunction(stop.function, retry_attempts=2)],
        )
        # Nobody waits for the answer, so that a failure would be heard of with the bill.
        Alarms(self, "Alarms", settings=settings, specs=[_failed(settings)], topic=topic)

    def _statements(
        self, settings: EnvironmentSettings, role: iam.Role, topic: sns.ITopic
    ) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        endpoint = stack.format_arn(service="sagemaker", resource="endpoint", resource_name=settings.endpoint_name)
        scalable = stack.format_arn(service="application-autoscaling", resource="scalable-target", resource_name="*")
        acknowledge_wildcard(role, scalable, reason="Application Auto Scaling makes up the ids of its targets.")
        acknowledge_wildcard(role, "*", reason="cloudwatch:GetMetricStatistics has no resource type; it only reads.")
        namespace = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
        return [
            allow("StopEndpoint", ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], [endpoint]),
            allow("SeeRequests", ["cloudwatch:GetMetricStatistics"], ["*"]),
            allow("StopScaling", ["application-autoscaling:DeregisterScalableTarget"], [scalable], namespace),
            allow_scaling_alarms(role, settings.endpoint_name, putting=False),
            allow("Notify", ["sns:Publish"], [topic.topic_arn]),
        ]


def _failed(settings: EnvironmentSettings) -> AlarmSpec:
    function = f"{settings.prefix}-{_NAME}"
    return AlarmSpec(
        name="idle-shutdown-failed",
        what=f"The function {function} could not see whether {settings.endpoint_name} is used, or remove it",
        namespace="AWS/Lambda",
        metric="Errors",
        dimensions={"FunctionName": function},
        # As often as it is called, so that one that always fails notifies once.
        period_minutes=60,
    )
