"""Short forms of states of the Amazon States Language: tasks with their retries and catches, choices, waits, ends.

All state machines use JSONPath. https://states-language.net/spec.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

State = dict[str, Any]

SDK: Final = "arn:{partition}:states:::aws-sdk:"
# What is worth another try of an SDK integration: the service throttled or failed by itself, or nobody answered.
SERVICE_RETRIES: Final = [
    {
        "ErrorEquals": ["States.Timeout", "SdkClientException"],
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    },
]


def task(
    resource: str,
    parameters: Mapping[str, Any],
    *,
    next_state: str,
    result_path: str | None = None,
    result_selector: Mapping[str, Any] | None = None,
    catch: Mapping[str, str] | None = None,
    retry: Sequence[Mapping[str, Any]] = SERVICE_RETRIES,
    comment: str | None = None,
) -> State:
    """A task; `resource` is an ARN such as "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint".

    `result_path` None discards the answer, so that the input goes on. `catch` maps an error name (or "States.ALL") to
    the state that follows it, which finds the error at $.error.
    """
    state: State = {"Type": "Task", "Resource": resource, "Parameters": dict(parameters), "ResultPath": result_path}
    if comment:
        state["Comment"] = comment
    if result_selector:
        state["ResultSelector"] = dict(result_selector)
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
