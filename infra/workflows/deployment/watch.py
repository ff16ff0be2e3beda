"""Watches a creation or update until it is decided, and takes back what the service itself does not."""

from __future__ import annotations

from typing import Any, Final

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, serves_new_configuration, status_is
from infra.workflows.deployment.endpoint import creation
from infra.workflows.states import States, choice, count, error_says, present, put, wait_bounded

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
        **wait_bounded(
            "Wait for deployment",
            seconds=poll_seconds,
            most=polls,
            again="Look at deployment",
            otherwise="Say that it takes too long",
        ),
        "Look at deployment": ctx.describe_endpoint(then="Progress", on_error="Wait for deployment"),
        "Progress": choice(
            {"And": [status_is("InService"), serves_new_configuration()], "Next": "Deployed"},
            status_is("InService") | {"Next": "Why rolled back"},
            {"And": [status_is("Updating", "SystemUpdating"), pending], "Next": smoke},
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for deployment"},
            default="Why did it break",
        ),
        "Deployed": choice(
            passed | {"Next": then},
            {"And": [pending, {"Variable": "$.tries.count", "NumericLessThan": _FINAL_TRIES}], "Next": "Count tries"},
            {"And": [pending, present("$.unanswered.error.Cause")], "Next": "Say why it does not answer"},
            pending | {"Next": "Say that it does not answer"},
            default="Undo",
        ),
        "Count tries": count("$.tries", next_state=smoke),
        "Say why it does not answer": put(
            {
                "state": "failed",
                "text.$": "States.Format('the new model gave no answer; the last error was: {}', "
                "$.unanswered.error.Cause)",
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
            {"text": "the deployment takes too long, or could not be seen"},
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
    parameters: dict[str, Any] = {"EndpointName": ctx.endpoint, "EndpointConfigName.$": "$.previous.config"}
    if ctx.settings.serving.autoscaled:
        parameters["RetainAllVariantProperties"] = True
    return {
        "Undo": put(
            {"text.$": "States.Format('the smoke test failed: {}', $.smoke.text)"},
            at="$.problem",
            next_state="Was anything served before",
        ),
        "Was anything served before": choice(
            present("$.previous.config") | {"Next": "Count from zero"}, default="Count deletion from zero"
        ),
        "Count from zero": put({"count": 0}, at="$.polls", next_state="Serve previous configuration"),
        "Serve previous configuration": ctx.call(
            "sagemaker:updateEndpoint",
            parameters,
            then="Wait for previous configuration",
            on_error="Can it not be undone yet",
        ),
        "Can it not be undone yet": choice(
            error_says(*context.BUSY, *context.THROTTLED) | {"Next": "Wait to undo"}, default="See what serves"
        ),
        **wait_bounded(
            "Wait to undo",
            seconds=poll_seconds,
            most=polls,
            again="Serve previous configuration",
            otherwise="See what serves",
        ),
        **wait_bounded(
            "Wait for previous configuration",
            seconds=poll_seconds,
            most=polls,
            again="Look at previous configuration",
            otherwise="See what serves",
        ),
        "Look at previous configuration": ctx.describe_endpoint(
            then="Does the previous configuration serve", on_error="Wait for previous configuration"
        ),
        "Does the previous configuration serve": choice(
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for previous configuration"}, default="See what serves"
        ),
        **_make_again(ctx, poll_seconds=poll_seconds),
    }


def _make_again(ctx: Context, *, poll_seconds: int) -> States:
    """A failed endpoint can only be deleted; what served before is then made anew from its configuration."""
    return {
        "Is anything left to serve": choice(
            status_is("Failed", "OutOfService") | {"Next": "Count deletion from zero"}, default="See what serves"
        ),
        "Count deletion from zero": put({"count": 0}, at="$.polls", next_state="Delete failed endpoint"),
        "Delete failed endpoint": ctx.call(
            "sagemaker:deleteEndpoint",
            {"EndpointName": ctx.endpoint},
            then="Wait for deletion",
            on_error="Can it not be deleted yet",
        ),
        "Can it not be deleted yet": choice(
            error_says(*context.ABSENT, *context.BUSY, *context.THROTTLED) | {"Next": "Wait for deletion"},
            default="See what serves",
        ),
        **wait_bounded(
            "Wait for deletion",
            seconds=poll_seconds,
            most=_GONE_POLLS,
            again="Look at deletion",
            otherwise="See what serves",
        ),
        "Look at deletion": ctx.describe_endpoint(then="Is it being deleted", on_error="Is it gone"),
        "Is it being deleted": choice(
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for deletion"}, default="Delete failed endpoint"
        ),
        "Is it gone": choice(
            {"And": [error_says(*context.ABSENT), present("$.previous.config")], "Next": "Make previous endpoint"},
            error_says(*context.ABSENT) | {"Next": "See what serves"},
            default="Wait for deletion",
        ),
        "Make previous endpoint": ctx.call(
            "sagemaker:createEndpoint",
            creation(ctx, configuration="$.previous.config"),
            then="Say that it was made again",
            on_error="See what serves",
            repeatable=True,
        ),
        "Say that it was made again": put(
            {
                "text.$": "States.Format('{}. The failed endpoint was deleted, and made again with its previous "
                "configuration {}; meanwhile nothing served', $.problem.text, $.previous.config)"
            },
            at="$.problem",
            next_state="Count creation from zero",
        ),
        "Count creation from zero": put({"count": 0}, at="$.polls", next_state="Wait for previous configuration"),
    }
