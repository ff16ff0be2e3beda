"""Removes an endpoint that nobody has asked anything for a set number of hours; it can be brought back any time."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": 10})
_HOUR_SECONDS = 3600


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called every hour; answers {"stopped": bool, "reason": str}.

    The endpoint goes if it has been in service unchanged, and without a request, for IDLE_HOURS. Its configuration
    and model stay, which cost nothing, and so does the version's approval.
    """
    endpoint, hours = os.environ["ENDPOINT_NAME"], int(os.environ["IDLE_HOURS"])
    reason = _why_not(endpoint, hours)
    if reason is None:
        _remove(endpoint)
        reason = f"no request for {hours} hours"
        _notify(endpoint, reason)
    answer = {"stopped": reason.startswith("no request"), "reason": reason}
    print(json.dumps({"level": "INFO", "message": "checked", "endpoint": endpoint, **answer}, sort_keys=True))
    return answer


def _why_not(endpoint: str, hours: int) -> str | None:
    """Why the endpoint stays; None if it is idle."""
    now = datetime.now(timezone.utc)
    try:
        found = boto3.client("sagemaker", config=_CONFIG).describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        # SageMaker has no error code of its own for this.
        if "Could not find" in error.response["Error"]["Message"]:
            return "there is no endpoint"
        raise
    if found["EndpointStatus"] != "InService":
        return f"the endpoint is {found['EndpointStatus']}"
    if now - found["LastModifiedTime"] < timedelta(hours=hours):
        return f"the endpoint was made or changed less than {hours} hours ago"
    invocations = _invocations(endpoint, start=now - timedelta(hours=hours), end=now)
    return f"{invocations:.0f} requests in {hours} hours" if invocations else None


def _invocations(endpoint: str, *, start: datetime, end: datetime) -> float:
    answer = boto3.client("cloudwatch", config=_CONFIG).get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=start,
        EndTime=end,
        Period=_HOUR_SECONDS,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def _remove(endpoint: str) -> None:
    scaling = boto3.client("application-autoscaling", config=_CONFIG)
    try:
        scaling.deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )
    except ClientError as error:
        # Only an autoscaled endpoint has one.
        if "No scalable target" not in error.response["Error"]["Message"]:
            raise
    boto3.client("sagemaker", config=_CONFIG).delete_endpoint(EndpointName=endpoint)


def _notify(endpoint: str, reason: str) -> None:
    boto3.client("sns", config=_CONFIG).publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=f"{endpoint}: idle endpoint removed"[:100],
        Message=f"Endpoint {endpoint} was removed: {reason}. Bring it back with `imgpipe endpoint --start`, or by "
        "approving a version; serving.idle_hours in the environment's settings says when this happens.",
    )
