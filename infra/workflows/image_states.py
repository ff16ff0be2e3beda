"""The states that classify one image of S3, those in which a failure ends, and what both machines hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.workflows.states import State, States, choice, fail, task, with_cause

NOT_MET: Final = "THRESHOLD_CONFIDENCE_NOT_MET"
# What the packer reads, as people write it; other files are left out.
IMAGE_SUFFIXES: Final = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
TAKEN: Final = "DynamoDB.ConditionalCheckFailedException"
FAILED: Final = "ClassificationFailed"

# Lambda itself, not the handler: "Handle transient Lambda service exceptions" in the Step Functions guide.
_LAMBDA_ERRORS: Final = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Sandbox.Timedout",
)
_UNAVAILABLE: Final = ("StorageUnavailable", "EndpointUnavailable")
_FUNCTION_TIMEOUT_SECONDS: Final = 180
_KEY: Final = {"id": {"S.$": "$.serialized.id"}}  # of the result


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the machines call; names, ARNs and addresses may be CDK tokens.

    `function_arns` has one for each of serialize, classify and filter.
    """

    partition: str
    function_arns: Mapping[str, str]
    table_name: str
    review_queue_url: str
    failure_queue_url: str


def image_states(targets: Targets) -> States:
    """From an image's place at $.input (Serialize) to its result; every path ends in Result, or by Fail in Failed."""
    return {
        **_answer_states(targets),
        **_result_states(targets),
        **_review_states(targets),
        "Result": {
            "Type": "Pass",
            "Parameters": {"result.$": "States.StringToJson($.found.Item.result.S)"},
            "OutputPath": "$.result",
            "End": True,
        },
        **failure_states(targets),
    }


def begin(next_state: str) -> State:
    """Whatever the input is, it lies where later states find it beside their own answers."""
    return {"Type": "Pass", "Parameters": {"input.$": "$"}, "Next": next_state}


def names_image(variable: str) -> State:
    """Comparison: a key ends as images' do, in small or capital letters."""
    suffixes = [written for suffix in IMAGE_SUFFIXES for written in (suffix, suffix.upper(), suffix.capitalize())]
    return {"Or": [{"Variable": variable, "StringMatches": f"*.{suffix}"} for suffix in suffixes]}


def skipped(*, bucket: str, key: str) -> State:
    """The end for a file that is no image; both are paths."""
    return {
        "Type": "Pass",
        "Parameters": {"status": "SKIPPED", "s3_bucket.$": bucket, "s3_key.$": key},
        "End": True,
    }


def caught(suffix: str = "") -> str:
    """The first of failure_states."""
    return f"Caught{suffix}"


def failure_states(targets: Targets, *, suffix: str = "", more: Mapping[str, Any] | None = None) -> States:
    """From what was caught, at $.error, over a message in the failure queue, which says `more` too, to the end."""
    message = {
        "state_machine.$": "$$.StateMachine.Name",
        "execution.$": "$$.Execution.Id",
        "started_at.$": "$$.Execution.StartTime",
        "input.$": "$.input",
        "error.$": "$.error.Error",
        "cause.$": "$.error.Cause",
    }
    return {
        **with_cause(caught(suffix), next_state=f"Fail{suffix}"),
        f"Fail{suffix}": task(
            f"arn:{targets.partition}:states:::sqs:sendMessage",
            {"QueueUrl": targets.failure_queue_url, "MessageBody": {**message, **(more or {})}},
            retry=[retry("States.TaskFailed", seconds=1, attempts=5)],
            next_state=f"Failed{suffix}",
        ),
        # An error of the service's own, States.*, may not be a Fail state's.
        f"Failed{suffix}": fail(FAILED, cause_path="States.Format('{}: {}', $.error.Error, $.error.Cause)"),
    }


def catch_all(next_state: str) -> dict[str, Any]:
    """A catcher of whatever earlier ones leave, with the error at $.error."""
    return {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": next_state}


def retry(*errors: str, seconds: int, attempts: int) -> dict[str, Any]:
    """Tries again with growing pauses that differ from execution to execution."""
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "BackoffRate": 2,
        "MaxAttempts": attempts,
        "JitterStrategy": "FULL",
    }


def _answer_states(targets: Targets) -> States:
    """An image that was here before costs no request, and keeps its result even when the model has changed."""
    return {
        "Serialize": _invoke(
            targets, "serialize", "$.input", at="$.serialized", keys=("id", "image", "payload"), next_state="FindResult"
        ),
        "FindResult": _read_result(targets, next_state="Known"),
        "Known": choice({"Variable": "$.found.Item", "IsPresent": True, "Next": "Reviewed"}, default="Classify"),
        "Classify": _invoke(
            targets,
            "classify",
            "$.serialized",
            at="$.classified",
            keys=("label", "index", "confidence", "threshold", "ranked", "model"),
            next_state="Filter",
        ),
        "Filter": _invoke(
            targets,
            "filter",
            {"serialized.$": "$.serialized", "classified.$": "$.classified", "execution.$": "$$.Execution.Id"},
            at="$.filtered",
            keys=("item",),
            next_state="Record",
        ),
    }


def _result_states(targets: Targets) -> States:
    """Of executions that run at the same time for the same image one writes; all go on with what it wrote."""
    return {
        "Record": _resource_task(
            targets,
            "dynamodb:putItem",
            {
                "TableName": targets.table_name,
                "Item.$": "$.filtered.item",
                "ConditionExpression": "attribute_not_exists(id)",
            },
            next_state="ReadResult",
            taken="ReadResult",
        ),
        "ReadResult": _read_result(targets, next_state="Reviewed"),
    }


def _review_states(targets: Targets) -> States:
    """The queue drops a second message of the same id within 5 minutes, the mark prevents later ones."""
    return {
        "Reviewed": choice(
            {
                "And": [
                    {"Variable": "$.found.Item.status.S", "StringEquals": NOT_MET},
                    {"Variable": "$.found.Item.review_sent", "IsPresent": False},
                ],
                "Next": "SendToReview",
            },
            default="Result",
        ),
        "SendToReview": _resource_task(
            targets,
            "sqs:sendMessage",
            {
                "QueueUrl": targets.review_queue_url,
                "MessageBody.$": "$.found.Item.result.S",
                "MessageGroupId.$": "$.serialized.id",
                "MessageDeduplicationId.$": "$.serialized.id",
            },
            next_state="MarkSent",
        ),
        "MarkSent": _resource_task(
            targets,
            "dynamodb:updateItem",
            {
                "TableName": targets.table_name,
                "Key": _KEY,
                "UpdateExpression": "SET review_sent = :sent",
                "ExpressionAttributeValues": {":sent": {"BOOL": True}},
            },
            next_state="Result",
        ),
    }


def _invoke(
    targets: Targets,
    function: str,
    payload: str | Mapping[str, Any],
    *,
    at: str,
    keys: Sequence[str],
    next_state: str,
) -> State:
    """Calls a function; `keys` of its answer are kept at `at`.

    Lambda's own errors and what the handlers call unavailable are tried again, over about four minutes in all: an
    endpoint may be scaling. What the handlers refuse is not.
    """
    given = {"Payload.$": payload} if isinstance(payload, str) else {"Payload": dict(payload)}
    return task(
        f"arn:{targets.partition}:states:::lambda:invoke",
        {"FunctionName": targets.function_arns[function], **given},
        result_path=at,
        result_selector={f"{key}.$": f"$.Payload.{key}" for key in keys},
        retry=[
            retry(*_UNAVAILABLE, seconds=3, attempts=6),
            retry(*_LAMBDA_ERRORS, "States.Timeout", seconds=2, attempts=5),
        ],
        timeout_seconds=_FUNCTION_TIMEOUT_SECONDS,
        catch={"States.ALL": caught()},
        next_state=next_state,
    )


def _read_result(targets: Targets, *, next_state: str) -> State:
    return _resource_task(
        targets,
        "dynamodb:getItem",
        {"TableName": targets.table_name, "Key": _KEY, "ConsistentRead": True},
        at="$.found",
        next_state=next_state,
    )


def _resource_task(
    targets: Targets,
    action: str,
    parameters: Mapping[str, Any],
    *,
    next_state: str,
    at: str | None = None,
    taken: str | None = None,
) -> State:
    """An integration of Step Functions' own; `taken` is the state that follows where another has written first."""
    state = task(
        f"arn:{targets.partition}:states:::{action}",
        parameters,
        result_path=at,
        retry=[
            *([{"ErrorEquals": [TAKEN], "MaxAttempts": 0}] if taken else []),
            retry("States.TaskFailed", "States.Timeout", seconds=1, attempts=4),  # TaskFailed holds no time-out
        ],
        next_state=next_state,
    )
    # The input goes on as it was: the other's result is about to be read.
    won = [{"ErrorEquals": [TAKEN], "ResultPath": None, "Next": taken}] if taken else []
    return state | {"Catch": [*won, catch_all(caught())]}
