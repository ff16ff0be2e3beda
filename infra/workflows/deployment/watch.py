"""Watches a creation or update until it is decided, and takes back what the service itself does not."""

from __future__ import annotations

from typing import Final

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, serves_new_configuration, status_is
from infra.workflows.states import States, choice, count, error_says, present, put, wait

# Looks at an endpoint that only has to go.
_GONE_POLLS: Final = 60
# What a serving endpoint may leave unanswered before its new model counts as broken.
_FINAL_TRIES: Final = 5


def watch(ctx: Context, *, then: str, smoke: str, poll_seconds: int, polls: int) -> States:
    """From "Wait for deployment" to `then` after a success; `smoke` is the state that tests, and returns to "Progress".

    A new model is tested as soon as it gets a share of the traffic: every look during an update asks, and the answer
    says which model gave it.
    """
    pending = {"Variable": "$.smoke.state", "StringEquals": "pending"}
    passed = {"Variable": "$.smoke.state", "StringEquals": "passed"}
    return {
        "Wait for deployment": wait(poll_seconds, next_state="Count polls"),
        "Count polls": count("$.polls", next_state="Look at deployment"),
        "Look at deployment": ctx.describe_endpoint(then="Progress", on_error="Can the deployment not be seen"),
        "Can the deployment not be seen": choice(
            error_says(*context.THROTTLED) | {"Next": "Wait for deployment"}, default=context.FAILING
        ),
        "Progress": choice(
            {"And": [status_is("InService"), serves_new_configuration()], "Next": "Deployed"},
            status_is("InService") | {"Next": "Why rolled back"},
            {"Variable": "$.polls.count", "NumericGreaterThan": polls, "Next": "Say that it takes too long"},
            {"And": [status_is("Updating", "SystemUpdating"), pending], "Next": smoke},
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for deployment"},
            default="Why did it break",
        ),
        "Deployed": choice(
            passed | {"Next": then},
            {"And": [pending, {"Variable": "$.tries.count", "NumericLessThan": _FINAL_TRIES}], "Next": "Count tries"},
            {"And": [pending, present("$.error.Cause")], "Next": "Say why it does not answer"},
            pending | {"Next": "Say that it does not answer"},
            default="Undo",
        ),
        "Count tries": count("$.tries", next_state=smoke),
        "Say why it does not answer": put(
            {
                "state": "failed",
                "text.$": "States.Format('the new model gave no answer; the last error was: {}', $.error.Cause)",
            },
            at="$.smoke",
            next_state="Undo",
        ),
        "Say that it does not answer": put(
            {"state": "failed", "text": "the endpoint serves, but the new model gave no answer to the smoke test"},
            at="$.smoke",
            next_state="Undo",
        ),
        **_ends(),
        **_undo(ctx, poll_seconds=poll_seconds, polls=polls),
    }


def _ends() -> States:
    """How a deployment can end badly, each with its reason at $.problem.text."""
    return {
        "Why rolled back": choice(
            {"Variable": "$.smoke.state", "StringEquals": "failed", "Next": "Say that the smoke test failed"},
            present("$.endpoint.FailureReason") | {"Next": "Say why rolled back"},
            default="Say that it was rolled back",
        ),
        "Say that the smoke test failed": put(
            {"text.$": "States.Format('the smoke test failed: {}', $.smoke.text)"},
            at="$.problem",
            next_state="See what serves",
        ),
        "Say why rolled back": put(
            {"text.$": "States.Format('the service rolled back: {}', $.endpoint.FailureReason)"},
            at="$.problem",
            next_state="See what serves",
        ),
        "Say that it was rolled back": put(
            {"text": "the service rolled back and gave no reason: look at the alarms and the endpoint's logs"},
            at="$.problem",
            next_state="See what serves",
        ),
        "Say that it takes too long": put(
            {"text.$": "States.Format('the deployment takes too long; the endpoint is {}', $.endpoint.EndpointStatus)"},
            at="$.problem",
            next_state="See what serves",
        ),
        "Why did it break": choice(
            present("$.endpoint.FailureReason") | {"Next": "Say why it broke"}, default="Say that it broke"
        ),
        "Say why it broke": put(
            {"text.$": "States.Format('the endpoint is {}: {}', $.endpoint.EndpointStatus, $.endpoint.FailureReason)"},
            at="$.problem",
            next_state="Is anything left to serve",
        ),
        "Say that it broke": put(
            {"text.$": "States.Format('the endpoint is {}, without a reason', $.endpoint.EndpointStatus)"},
            at="$.problem",
            next_state="Is anything left to serve",
        ),
    }


def _undo(ctx: Context, *, poll_seconds: int, polls: int) -> States:
    """The old configuration again; a first endpoint goes, so that the next try can start."""
    return {
        "Is anything left to serve": choice(
            status_is("Failed", "OutOfService") | {"Next": "Delete failed endpoint"}, default="See what serves"
        ),
        "Undo": put(
            {"text.$": "States.Format('the smoke test failed: {}', $.smoke.text)"},
            at="$.problem",
            next_state="Was anything served before",
        ),
        "Was anything served before": choice(
            present("$.previous.config") | {"Next": "Serve previous configuration"}, default="Delete failed endpoint"
        ),
        "Serve previous configuration": ctx.call(
            "sagemaker:updateEndpoint",
            {"EndpointName": ctx.endpoint, "EndpointConfigName.$": "$.previous.config"},
            then="Count from zero",
            on_error="See what serves",
        ),
        "Count from zero": put({"count": 0}, at="$.polls", next_state="Wait for previous configuration"),
        "Wait for previous configuration": wait(poll_seconds, next_state="Count looks at previous"),
        "Count looks at previous": count("$.polls", next_state="Look at previous configuration"),
        "Look at previous configuration": ctx.describe_endpoint(
            then="Does the previous configuration serve", on_error="See what serves"
        ),
        "Does the previous configuration serve": choice(
            {"Variable": "$.polls.count", "NumericGreaterThan": polls, "Next": "See what serves"},
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for previous configuration"},
            default="See what serves",
        ),
        "Delete failed endpoint": ctx.call(
            "sagemaker:deleteEndpoint",
            {"EndpointName": ctx.endpoint},
            then="Count deletion from zero",
            on_error="See what serves",
        ),
        "Count deletion from zero": put({"count": 0}, at="$.polls", next_state="Wait for deletion"),
        "Wait for deletion": wait(poll_seconds, next_state="Count looks at deletion"),
        "Count looks at deletion": count("$.polls", next_state="Look at deletion"),
        "Look at deletion": ctx.describe_endpoint(then="Is it being deleted", on_error="See what serves"),
        "Is it being deleted": choice(
            {"Variable": "$.polls.count", "NumericGreaterThan": _GONE_POLLS, "Next": "See what serves"},
            status_is("Deleting") | {"Next": "Wait for deletion"},
            default="See what serves",
        ),
    }
