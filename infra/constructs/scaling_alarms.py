"""The CloudWatch alarms that target tracking makes for an endpoint, and who may keep or remove them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard


def allow_scaling_alarms(role: iam.Role, endpoint: str, *, putting: bool) -> iam.PolicyStatement:
    """Lets `role` find and remove the alarms of an endpoint's scaling policies, and with `putting` make them.

    Application Auto Scaling asks this of who calls it: "Permissions required for API actions on target services and
    CloudWatch" in its guide. It puts them with PutScalingPolicy and removes them with DeregisterScalableTarget.
    """
    alarms = cdk.Stack.of(role).format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=f"TargetTracking-endpoint/{endpoint}/*",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
    acknowledge_wildcard(
        role, alarms, reason="Application Auto Scaling names the alarms of its policies after the endpoint."
    )
    put = ["cloudwatch:PutMetricAlarm"] if putting else []
    return allow("KeepScalingAlarms", [*put, "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms"], [alarms])
