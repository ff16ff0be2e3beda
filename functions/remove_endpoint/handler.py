"""CloudFormation custom resource that ties the endpoint to its stack: it follows the settings and goes with it."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any, Protocol
from urllib.error import URLError

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": 10})
_RESERVE_MS = 30_000
_ANSWER_ATTEMPTS = 4
_REASON_LIMIT = 1000
_POLL_SECONDS = 15
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# An execution may run the definition of before the update, for as long as Step Functions takes to spread the new one.
_STARTS = 6
_LOOKS = 3
_LOOK_SECONDS = 5
# A successor gets this long to serve before its predecessor goes.
_SUCCESSOR_MS = 600_000
# A stack in one of these states has decided that the resource goes; in any other it stays or is being rolled back.
_STACK_GOES = "DELETE_IN_PROGRESS"
_REPLACED = ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")


class LambdaContext(Protocol):
    """The part of Lambda's context that the handler uses."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops the function."""
        ...


def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answers every request of CloudFormation, so that a stack never waits for its timeout.

    Create does nothing. Update starts the state machine if there is an endpoint, old or new, so that it follows the
    settings. Delete removes the endpoint; when the whole stack goes, configurations and models too. The resource's
    physical id is the endpoint's name, so a change of the name makes CloudFormation delete the old one.
    Protocol: "Custom resource request/response objects" in the CloudFormation user guide.
    """
    _log("INFO", "request", request_type=event.get("RequestType"), stack=event.get("StackId"))
    try:
        reason = _carry_out(event, context)
        _answer(event, context, status="SUCCESS", reason=reason)
    except Exception as error:  # any failure must be answered, whatever it is
        reason = f"{type(error).__name__}: {error}"
        _log("ERROR", "failed", reason=reason)
        _answer(event, context, status="FAILED", reason=reason)


def _carry_out(event: dict[str, Any], context: LambdaContext) -> str:
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Create":
        return "nothing to do"
    if event["RequestType"] == "Update":
        return _follow(properties, context, previous=event["PhysicalResourceId"])
    # The creation may have failed before the resource had its name.
    endpoint = properties["EndpointName"]
    status = _stack_status(event["StackId"])
    if status == _STACK_GOES:
        _stop_executions(properties["StateMachineArn"], cause="the stack is being deleted")
        _remove(endpoint, context)
        configurations, models = _remove_what_is_named(properties["NamePrefix"])
        return f"removed {endpoint}, {configurations} endpoint configurations and {models} models"
    if status in _REPLACED:
        successor = os.environ["ENDPOINT_NAME"]
        if not _await_successor(successor, instead_of=endpoint, context=context):
            return _keep(endpoint, successor=successor)
        _remove(endpoint, context)
        return f"removed {endpoint}, which has a successor"
    return f"the stack stays, so {endpoint} does too"


def _keep(endpoint: str, *, successor: str) -> str:
    reason = (
        f"{endpoint} stays, because its successor {successor} does not serve. Once that one does, remove it: "
        f"aws sagemaker delete-endpoint --endpoint-name {endpoint}"
    )
    boto3.client("sns", config=_CONFIG).publish(
        TopicArn=os.environ["TOPIC_ARN"], Subject=f"{endpoint}: not replaced"[:100], Message=reason
    )
    return reason


def _follow(properties: dict[str, Any], context: LambdaContext, *, previous: str) -> str:
    endpoint, machine = properties["EndpointName"], properties["StateMachineArn"]
    if endpoint != previous:
        # Whoever still works would make, or change, the endpoint that goes; on a roll-back that is the new one.
        _stop_executions(machine, cause=f"{previous} is replaced by {endpoint}")
    if not any(_endpoint_status(name) for name in {endpoint, previous}):
        return "there is no endpoint, so nothing has to follow the settings"
    for _ in range(_STARTS):
        started = _start(machine, properties["SettingsHash"])
        if not _is_outdated(started, context):
            return f"started {started}, which brings {endpoint} to the settings"
    raise TimeoutError(f"{machine} still has the definition of before this update: deploy the stack again")


def _start(machine: str, settings_hash: str) -> str:
    detail = {"ModelApprovalStatus": "Redeploy", "SettingsHash": settings_hash}
    client = boto3.client("stepfunctions", config=_CONFIG)
    started = client.start_execution(
        stateMachineArn=machine, name=f"redeploy-{uuid.uuid4()}", input=json.dumps({"detail": detail})
    )
    return str(started["executionArn"])


def _is_outdated(execution: str, context: LambdaContext) -> bool:
    """Whether the execution found that its definition is of other settings, which is the first that it looks at."""
    client = boto3.client("stepfunctions", config=_CONFIG)
    for _ in range(_LOOKS):
        if context.get_remaining_time_in_millis() < _RESERVE_MS:
            break
        time.sleep(_LOOK_SECONDS)
        found = client.describe_execution(executionArn=execution)
        if found["status"] != "RUNNING":
            return bool(json.loads(found.get("output") or "{}").get("outdated"))
    return False


def _stack_status(stack_id: str) -> str:
    stacks = boto3.client("cloudformation", config=_CONFIG).describe_stacks(StackName=stack_id)["Stacks"]
    return str(stacks[0]["StackStatus"])


def _stop_executions(machine: str, *, cause: str) -> None:
    """A deployment that goes on would make a new endpoint behind our back."""
    client = boto3.client("stepfunctions", config=_CONFIG)
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
    for arn in [execution["executionArn"] for page in pages for execution in page["executions"]]:
        client.stop_execution(executionArn=arn, error="EndpointGoes", cause=cause)


def _await_successor(name: str, *, instead_of: str, context: LambdaContext) -> bool:
    """Waits until the endpoint that replaces this one serves; not for ever. Whether it does, or nothing is replaced."""
    if name == instead_of or not _endpoint_status(instead_of):
        return True
    end = context.get_remaining_time_in_millis() - _SUCCESSOR_MS
    while context.get_remaining_time_in_millis() > max(end, _RESERVE_MS):
        if _endpoint_status(name) == "InService":
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _remove(endpoint: str, context: LambdaContext) -> None:
    """Deletes scalable target and endpoint, once nobody works on it, and waits until it is gone."""
    _deregister(endpoint)
    client = boto3.client("sagemaker", config=_CONFIG)
    while status := _endpoint_status(endpoint):
        if context.get_remaining_time_in_millis() < _RESERVE_MS:
            raise TimeoutError(f"endpoint {endpoint} is still {status}: delete the stack again")
        if status not in (*_BUSY, "Deleting"):
            _unless_absent(lambda: client.delete_endpoint(EndpointName=endpoint))
        time.sleep(_POLL_SECONDS)


def _deregister(endpoint: str) -> None:
    client = boto3.client("application-autoscaling", config=_CONFIG)
    try:
        client.deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )
    except ClientError as error:
        if "No scalable target" not in error.response["Error"]["Message"]:
            raise
        _log("INFO", "no scalable target", endpoint=endpoint)


def _remove_what_is_named(prefix: str) -> tuple[int, int]:
    """Deletes the configurations and models that the state machine made; returns how many."""
    client = boto3.client("sagemaker", config=_CONFIG)
    ours = re.compile(rf"{re.escape(prefix)}[0-9]+-[0-9a-f]{{8}}")

    def named(action: str, key: str, field: str) -> list[str]:
        # The listing is complete before the first deletion, because deleting moves what a page token points at.
        pages = client.get_paginator(action).paginate(NameContains=prefix)
        return [item[field] for page in pages for item in page[key] if ours.fullmatch(item[field])]

    configurations = named("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName")
    for name in configurations:
        client.delete_endpoint_config(EndpointConfigName=name)
    models = named("list_models", "Models", "ModelName")
    for name in models:
        client.delete_model(ModelName=name)
    return len(configurations), len(models)


def _endpoint_status(name: str) -> str | None:
    """Status of an endpoint; None where there is none."""
    client = boto3.client("sagemaker", config=_CONFIG)
    answer = _unless_absent(lambda: client.describe_endpoint(EndpointName=name))
    return str(answer["EndpointStatus"]) if answer else None


def _unless_absent(call: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return call()
    except ClientError as error:
        # SageMaker has no error code of its own for this.
        if "Could not find" in error.response["Error"]["Message"]:
            return None
        raise


def _answer(event: dict[str, Any], context: LambdaContext, *, status: str, reason: str) -> None:
    """Puts the answer where CloudFormation reads it; a few attempts, because a lost one costs the stack an hour."""
    # A failed update must not change the id: CloudFormation would delete the endpoint as replaced.
    current = event.get("PhysicalResourceId") or "unknown"
    keep = event["RequestType"] == "Delete" or (status == "FAILED" and event["RequestType"] == "Update")
    endpoint = event.get("ResourceProperties", {}).get("EndpointName", current)
    body = json.dumps(
        {
            "Status": status,
            "Reason": f"{reason[:_REASON_LIMIT]} (log stream {context.log_stream_name})",
            "PhysicalResourceId": current if keep else endpoint,
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
    ).encode()
    # The URL is signed without a content type, so none may be sent.
    request = urllib.request.Request(event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""})
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=10):
                _log("INFO", "answered", status=status, reason=reason)
                return
        except (URLError, TimeoutError) as error:
            _log("WARNING", "answer not taken", attempt=attempt, error=str(error))
            if attempt == _ANSWER_ATTEMPTS:
                raise
            time.sleep(2**attempt)


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message, **fields}, sort_keys=True, default=str))
