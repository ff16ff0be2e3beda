"""CloudFormation custom resource that empties a model package group before its stack deletes the group."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, Protocol
from urllib.error import URLError

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": 10})
_RESERVE_MS = 30_000
_ANSWER_ATTEMPTS = 4
_REASON_LIMIT = 1000


class LambdaContext(Protocol):
    """The part of Lambda's context that the handler uses."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops the function."""
        ...


def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answers every request of CloudFormation, so that a stack never waits for its timeout.

    Create and Update do nothing. Delete removes all versions, but only while the whole stack is being deleted: a
    rollback, or a change of retain_on_destroy, deletes this resource as well and must not cost a single model.
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
    if event["RequestType"] != "Delete":
        return "nothing to do"
    group = event["ResourceProperties"]["ModelPackageGroupName"]
    if not _stack_is_being_deleted(event["StackId"]):
        return f"the stack stays, so the versions of {group} do too"
    return f"removed {_purge(group, context)} versions of {group}"


def _stack_is_being_deleted(stack_id: str) -> bool:
    stacks = boto3.client("cloudformation", config=_CONFIG).describe_stacks(StackName=stack_id)["Stacks"]
    return bool(stacks[0]["StackStatus"] == "DELETE_IN_PROGRESS")


def _purge(group: str, context: LambdaContext) -> int:
    """Deletes all versions of the group; returns how many. A group that is gone has none."""
    client = boto3.client("sagemaker", config=_CONFIG)
    if not _group_exists(client, group):
        return 0
    pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    # The listing is complete before the first deletion, because deleting moves what a page token points at.
    arns = [summary["ModelPackageArn"] for page in pages for summary in page["ModelPackageSummaryList"]]
    for done, arn in enumerate(arns):
        if context.get_remaining_time_in_millis() < _RESERVE_MS:
            raise TimeoutError(
                f"{len(arns) - done} of {len(arns)} versions of {group} are left: delete the stack again"
            )
        client.delete_model_package(ModelPackageName=arn)
    return len(arns)


def _group_exists(client: Any, group: str) -> bool:
    try:
        client.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        # SageMaker has no error code of its own for this.
        if "does not exist" in error.response["Error"]["Message"]:
            return False
        raise
    return True


def _answer(event: dict[str, Any], context: LambdaContext, *, status: str, reason: str) -> None:
    """Puts the answer where CloudFormation reads it; a few attempts, because a lost one costs the stack an hour."""
    group = event.get("ResourceProperties", {}).get("ModelPackageGroupName", "unknown")
    body = json.dumps(
        {
            "Status": status,
            "Reason": f"{reason[:_REASON_LIMIT]} (log stream {context.log_stream_name})",
            "PhysicalResourceId": event.get("PhysicalResourceId") or f"versions-of-{group}",
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
