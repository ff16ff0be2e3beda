"""Short forms of states of the Amazon States Language: tasks with their retries and catches, choices, waits, ends.

All state machines use JSONPath. https://states-language.net/spec.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

State = dict[str, Any]
States = dict[str, State]

SDK: Final = "arn:{partition}:states:::aws-sdk:"
# How long one call of a service may take; the service's own clients give up earlier.
TASK_TIMEOUT_SECONDS: Final = 120
_PAUSES: Final = {"IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 5, "JitterStrategy": "FULL"}
# Of a call that may be made twice: throttling and 5xx have no names of their own.
REPEATABLE: Final = [{"ErrorEquals": ["States.TaskFailed", "States.Timeout"], **_PAUSES}]
# An SDK integration names its errors after the client, which differs from the name in the ARN.
_CLIENTS: Final = {
    "applicationautoscaling": "ApplicationAutoScaling",
    "cloudwatch": "CloudWatch",
    "s3": "S3",
    "sagemaker": "SageMaker",
    "sagemakerruntime": "SageMakerRuntime",
    "sns": "Sns",
}


def sdk(action: str, *, partition: str) -> str:
    """ARN of an SDK integration; `action` is "<service>:<action>", such as "sagemaker:describeEndpoint"."""
    return SDK.format(partition=partition) + action


def service_retries(resource: str) -> list[dict[str, Any]]:
    """What is worth another try of any call: nobody answered, or nobody could be asked."""
    service = resource.split(":")[-2]
    client = [f"{_CLIENTS[service]}.SdkClientException"] if service in _CLIENTS else []
    return [{"ErrorEquals": ["States.Timeout", *client], **_PAUSES}]


def task(
    resource: str,
    parameters: Mapping[str, Any],
    *,
    next_state: str,
    result_path: str | None = None,
    result_selector: Mapping[str, Any] | None = None,
    catch: Mapping[str, str] | None = None,
    retry: Sequence[Mapping[str, Any]] | None = None,
    timeout_seconds: int | None = TASK_TIMEOUT_SECONDS,
    comment: str | None = None,
) -> State:
    """A task; `resource` is an ARN such as "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint".

    `result_path` None discards the answer, so that the input goes on. `retry` None is service_retries(). `catch` maps
    an error name (or "States.ALL") to the state that follows it, which finds the error at $.error.
    """
    state: State = {"Type": "Task", "Resource": resource, "Parameters": dict(parameters), "ResultPath": result_path}
    if comment:
        state["Comment"] = comment
    if timeout_seconds is not None:
        state["TimeoutSeconds"] = timeout_seconds
    if result_selector:
        state["ResultSelector"] = dict(result_selector)
    retry = service_retries(resource) if retry is None else retry
    if retry:
        state["Retry"] = [dict(item) for item in retry]
    if catch:
        state["Catch"] = [
            {"ErrorEquals": [error], "ResultPath": "$.error", "Next": name} for error, name in catch.items()
        ]
    return state | {"Next": next_state}


def choice(*rules: Mapping[str, Any], default: str) -> State:
    """A choice; each rule is a comparison with its Next."""
    return {"Type": "Choice", "Choices": [dict(rule) for rule in rules], "Default": default}


def wait(seconds: int, *, next_state: str) -> State:
    """A wait of fixed length."""
    return {"Type": "Wait", "Seconds": seconds, "Next": next_state}


def put(values: Mapping[str, Any], *, at: str, next_state: str) -> State:
    """Puts values (names that end in `.$` are paths) at the reference path `at` of the input."""
    return {"Type": "Pass", "Parameters": dict(values), "ResultPath": at, "Next": next_state}


def count(at: str, *, next_state: str) -> State:
    """Adds one to `<at>.count`, so that a loop can be bounded."""
    return put({"count.$": f"States.MathAdd({at}.count, 1)"}, at=at, next_state=next_state)


def wait_bounded(name: str, *, seconds: int, most: int, again: str, otherwise: str) -> States:
    """Waits, and goes on to `again`; to `otherwise` once $.polls has counted more than `most`, whatever was seen."""
    return {
        name: wait(seconds, next_state=f"{name}, counted"),
        f"{name}, counted": count("$.polls", next_state=f"{name}, bounded"),
        f"{name}, bounded": choice(
            {"Variable": "$.polls.count", "NumericGreaterThan": most, "Next": otherwise}, default=again
        ),
    }


def succeed(comment: str) -> State:
    """The end of an execution that did what it was to do."""
    return {"Type": "Succeed", "Comment": comment}


def fail(error: str, *, cause_path: str) -> State:
    """The end of an execution that could not; the text at `cause_path` says why."""
    return {"Type": "Fail", "Error": error, "CausePath": cause_path}


def present(variable: str) -> State:
    """Comparison: there is something at this path."""
    return {"Variable": variable, "IsPresent": True}


def error_says(*patterns: str) -> State:
    """Comparison: the caught error's text matches one of the patterns, in which * stands for anything.

    SageMaker's errors have one name for nearly all, so that only the text tells them apart. A time-out has no text.
    """
    rules = [{"Variable": "$.error.Cause", "StringMatches": pattern} for pattern in patterns]
    return {"And": [present("$.error.Cause"), {"Or": rules} if len(rules) > 1 else rules[0]]}


def with_cause(name: str, *, next_state: str) -> States:
    """Goes on to `next_state` with a text at $.error.Cause, whatever was caught.

    A time-out has none, and the error of a path that leads nowhere, States.Runtime, is one that no state catches.
    """
    return {
        name: choice(present("$.error.Cause") | {"Next": next_state}, default=f"{name}, without a cause"),
        f"{name}, without a cause": put(
            {"Error.$": "$.error.Error", "Cause": "no cause was given"}, at="$.error", next_state=next_state
        ),
    }
