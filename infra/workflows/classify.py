"""The state machines that classify: one image of S3, and all images below a prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.workflows.states import State, choice, fail, sdk, task

NOT_MET: Final = "THRESHOLD_CONFIDENCE_NOT_MET"
# What the packer reads, as people write it; other files below a prefix are left out.
IMAGE_SUFFIXES: Final = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
TAKEN: Final = "DynamoDB.ConditionalCheckFailedException"
FAILED: Final = "ClassificationFailed"
RESULTS_PREFIX: Final = "classify/runs"

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
# Of the states around the map: a name may stand once in a machine, those of a map's states included.
_OUTER: Final = "Prefix"
_COUNTS: Final = ("Total", "Succeeded", "Failed")


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


def classify_machine(targets: Targets) -> dict[str, Any]:
    """The definition of the machine for one image.

    Input: {"s3_bucket", "s3_key"[, "s3_version_id"]}, or an event of S3. Output: the result as Filter words it, which
    is the first one that this version of the image got. A failure leaves a message in the failure queue and ends the
    execution as failed, so that both who looks at executions and who works off the queue see it.
    """
    return {"Comment": "Classifies one image of S3", "StartAt": "Begin", "States": _image_states(targets)}


def prefix_machine(
    targets: Targets, *, result_bucket: str, max_concurrency: int, tolerated_failure_percent: int
) -> dict[str, Any]:
    """The definition of the machine for all images below a prefix, {"s3_bucket", "s3_prefix"}.

    Each image has an execution of its own, so there may be millions. Output: bucket, prefix, `images` (how many
    succeeded, failed, there were) and `results`, the place of the manifest of all outputs.
    """
    images: State = {
        "Type": "Map",
        "Label": "Images",
        "ItemReader": {
            "Resource": f"arn:{targets.partition}:states:::s3:listObjectsV2",
            "Parameters": {"Bucket.$": "$.input.s3_bucket", "Prefix.$": "$.input.s3_prefix"},
        },
        "ItemSelector": {"s3_bucket.$": "$.input.s3_bucket", "s3_key.$": "$$.Map.Item.Value.Key"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "IsImage",
            "States": {
                "IsImage": choice(_is_image("$.s3_key", next_state="Begin"), default="Skipped"),
                "Skipped": {
                    "Type": "Pass",
                    "Parameters": {"status": "SKIPPED", "s3_bucket.$": "$.s3_bucket", "s3_key.$": "$.s3_key"},
                    "End": True,
                },
                **_image_states(targets),
            },
        },
        "MaxConcurrency": max_concurrency,
        "ToleratedFailurePercentage": float(tolerated_failure_percent),
        "ResultWriter": {
            "Resource": f"arn:{targets.partition}:states:::s3:putObject",
            "Parameters": {"Bucket": result_bucket, "Prefix": RESULTS_PREFIX},
        },
        "ResultPath": "$.run",
        "Retry": [_retry("States.ItemReaderFailed", seconds=5, attempts=3)],
        "Catch": [_catch_all(fail_state=f"Fail{_OUTER}")],
        "Next": "Count",
    }
    states = {
        f"Begin{_OUTER}": _begin("Images"),
        "Images": images,
        "Count": task(
            sdk("sfn:describeMapRun", partition=targets.partition),
            {"MapRunArn.$": "$.run.MapRunArn"},
            result_path="$.counted",
            next_state="Summary",
            catch={"States.ALL": f"Fail{_OUTER}"},
        ),
        "Summary": {
            "Type": "Pass",
            "Parameters": {
                "s3_bucket.$": "$.input.s3_bucket",
                "s3_prefix.$": "$.input.s3_prefix",
                "images": {f"{name.lower()}.$": f"$.counted.ItemCounts.{name}" for name in _COUNTS},
                "results.$": "$.run.ResultWriterDetails",
            },
            "End": True,
        },
        **_failure_states(targets, suffix=_OUTER),
    }
    return {"Comment": "Classifies the images below a prefix of S3", "StartAt": f"Begin{_OUTER}", "States": states}


def _image_states(targets: Targets) -> dict[str, State]:
    """From an image's place to its result; every path ends in Result, or by Fail in Failed."""
    key = {"id": {"S.$": "$.serialized.id"}}
    return {
        "Begin": _begin("Serialize"),
        "Serialize": _invoke(
            targets, "serialize", "$.input", at="$.serialized", keys=("id", "image", "payload"), next_state="FindResult"
        ),
        # An image that was here before costs no request, and keeps its result even when the model has changed.
        "FindResult": _read_result(targets, key, next_state="Known"),
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
        # Of executions that run at the same time for the same image one writes; all go on with what it wrote.
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
        "ReadResult": _read_result(targets, key, next_state="Reviewed"),
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
        # The queue drops a second message of the same id within 5 minutes, the mark prevents later ones.
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
                "Key": key,
                "UpdateExpression": "SET review_sent = :sent",
                "ExpressionAttributeValues": {":sent": {"BOOL": True}},
            },
            next_state="Result",
        ),
        "Result": {
            "Type": "Pass",
            "Parameters": {"result.$": "States.StringToJson($.found.Item.result.S)"},
            "OutputPath": "$.result",
            "End": True,
        },
        **_failure_states(targets),
    }


def _begin(next_state: str) -> State:
    """Whatever the input is, it lies where later states find it beside their own answers."""
    return {"Type": "Pass", "Parameters": {"input.$": "$"}, "Next": next_state}


def _failure_states(targets: Targets, *, suffix: str = "") -> dict[str, State]:
    message = {
        "state_machine.$": "$$.StateMachine.Name",
        "execution.$": "$$.Execution.Id",
        "started_at.$": "$$.Execution.StartTime",
        "input.$": "$.input",
        "error.$": "$.error.Error",
        "cause.$": "$.error.Cause",
    }
    return {
        f"Fail{suffix}": task(
            f"arn:{targets.partition}:states:::sqs:sendMessage",
            {"QueueUrl": targets.failure_queue_url, "MessageBody": message},
            retry=[_retry("States.TaskFailed", seconds=1, attempts=5)],
            next_state=f"Failed{suffix}",
        ),
        # An error of the service's own, States.*, may not be a Fail state's.
        f"Failed{suffix}": fail(FAILED, cause_path="States.Format('{}: {}', $.error.Error, $.error.Cause)"),
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
            _retry(*_UNAVAILABLE, seconds=3, attempts=6),
            _retry(*_LAMBDA_ERRORS, "States.Timeout", seconds=2, attempts=5),
        ],
        timeout_seconds=_FUNCTION_TIMEOUT_SECONDS,
        catch={"States.ALL": "Fail"},
        next_state=next_state,
    )


def _read_result(targets: Targets, key: Mapping[str, Any], *, next_state: str) -> State:
    return _resource_task(
        targets,
        "dynamodb:getItem",
        {"TableName": targets.table_name, "Key": dict(key), "ConsistentRead": True},
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
            _retry("States.TaskFailed", "States.Timeout", seconds=1, attempts=4),  # TaskFailed holds no time-out
        ],
        next_state=next_state,
    )
    # The input goes on as it was: the other's result is about to be read.
    won = [{"ErrorEquals": [TAKEN], "ResultPath": None, "Next": taken}] if taken else []
    return state | {"Catch": [*won, _catch_all()]}


def _catch_all(*, fail_state: str = "Fail") -> dict[str, Any]:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": fail_state}


def _retry(*errors: str, seconds: int, attempts: int) -> dict[str, Any]:
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "BackoffRate": 2,
        "MaxAttempts": attempts,
        "JitterStrategy": "FULL",
    }


def _is_image(variable: str, *, next_state: str) -> dict[str, Any]:
    """A rule for keys that end as images' do, in small or capital letters."""
    suffixes = [written for suffix in IMAGE_SUFFIXES for written in (suffix, suffix.upper(), suffix.capitalize())]
    return {"Or": [{"Variable": variable, "StringMatches": f"*.{suffix}"} for suffix in suffixes], "Next": next_state}
