"""The smoke test: the packaged sample through the endpoint, judged by what the new model itself answers."""

from __future__ import annotations

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context
from infra.workflows.states import States, choice, present, put


def smoke_test(ctx: Context, *, back: str, later: str) -> States:
    """From "Ask the endpoint" to `back` with a verdict at $.smoke, or to `later` where the new model did not answer.

    The sample's body is JSON, and goes as JSON: an SDK integration writes the value of a binary field as JSON text,
    and would put a string in quotes. The answer's body comes back as text.
    """
    return {
        "Ask the endpoint": ctx.call(
            "sagemakerruntime:invokeEndpoint",
            {
                "EndpointName": ctx.endpoint,
                "ContentType.$": "$.sample.file.content_type",
                "Accept": "application/json",
                "CustomAttributes": "verbose=true",
                "InferenceId": context.SMOKE_INFERENCE_ID,
                "Body.$": "States.StringToJson($.sample.file.body)",
            },
            at="$.read",
            # Here and not in a state of its own, because only a task can catch that the answer is no JSON.
            select={"verbose.$": "States.StringToJson($.Body)"},
            then="Does it name its model",
            on_error="Keep why nothing was answered",
        ),
        # While traffic shifts, errors are the alarms' business; once it has, tries are counted. Kept apart from errors
        # of other calls, which say nothing of the model.
        "Keep why nothing was answered": put({"error.$": "$.error"}, at="$.unanswered", next_state=later),
        "Does it name its model": choice(
            {
                "And": [present("$.read.verbose.model.name"), present("$.read.verbose.predictions")],
                "Next": "Did the new model answer",
            },
            default="The answer cannot be read",
        ),
        "The answer cannot be read": put(
            {"state": "failed", "text": "the answer is not the verbose answer of this project's serve image"},
            at="$.smoke",
            next_state="Report failed smoke test",
        ),
        "Did the new model answer": choice(
            {"Variable": "$.read.verbose.model.name", "StringEqualsPath": "$.name", "Next": "Read the label"},
            default=later,
        ),
        "Read the label": put(
            {"labels.$": "$.read.verbose.predictions[*].label"}, at="$.seen", next_state="Is it the right label"
        ),
        "Is it the right label": choice(
            {
                "And": [
                    present("$.seen.labels[0]"),
                    {"Variable": "$.seen.labels[0]", "StringEqualsPath": "$.sample.file.label"},
                ],
                "Next": "Smoke test passed",
            },
            default="Wrong label",
        ),
        "Smoke test passed": put({"state": "passed", "text": ""}, at="$.smoke", next_state=back),
        "Wrong label": put(
            {
                "state": "failed",
                "text.$": "States.Format('the new model answers {} to the packaged sample, which is {}', "
                "States.JsonToString($.seen.labels), $.sample.file.label)",
            },
            at="$.smoke",
            next_state="Report failed smoke test",
        ),
        # The alarm on this metric is among those that roll a deployment back.
        "Report failed smoke test": ctx.call(
            "cloudwatch:putMetricData",
            {
                "Namespace": context.METRIC_NAMESPACE,
                "MetricData": [
                    {
                        "MetricName": context.SMOKE_METRIC,
                        "Dimensions": [{"Name": context.ENDPOINT_DIMENSION, "Value": ctx.endpoint}],
                        "Value": 1,
                        "Unit": "Count",
                    }
                ],
            },
            then=back,
            on_error=back,
        ),
    }
