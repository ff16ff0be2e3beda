"""After a deployment: autoscaling, the record of what is live, and the notification; after a failure, the reason."""

from __future__ import annotations

from typing import Any

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, status_is
from infra.workflows.deployment.endpoint import release_target, scalable_target
from infra.workflows.states import States, choice, error_says, fail, present, put, succeed

# Instances go slower than they come: each takes minutes to start.
_SCALE_OUT_SECONDS, _SCALE_IN_SECONDS = 60, 300


def finish(ctx: Context, *, withdrawn: str) -> States:
    """From "Deployed well" (a deployment), or "Serves already" (nothing had to change), to the end.

    `withdrawn` is where it goes on if the approval was taken back while the version was being deployed.
    """
    return {
        "Deployed well": put({"done": True}, at="$.deployed", next_state="Record what is live"),
        "Serves already": put({"done": False}, at="$.deployed", next_state="Read record"),
        "Read record": ctx.read_live(at="$.recorded", then="Is it recorded", on_error="Record what is live"),
        "Is it recorded": choice(
            {
                "And": [
                    present("$.recorded.file.endpoint_config_name"),
                    {"Variable": "$.recorded.file.endpoint_config_name", "StringEqualsPath": "$.name"},
                ],
                "Next": "Set up",
            },
            default="Record what is live",
        ),
        "Record what is live": ctx.call(
            "s3:putObject",
            {
                "Bucket": ctx.names.artifact_bucket,
                "Key": ctx.live_key,
                "ContentType": "application/json",
                "Body": {
                    "schema_version": 1,
                    "endpoint_name": ctx.endpoint,
                    "version.$": "$.package.version",
                    "model_package_arn.$": "$.package.arn",
                    "model_name.$": "$.name",
                    "endpoint_config_name.$": "$.name",
                    "deployed_at.$": "$$.State.EnteredTime",
                    "metadata.$": "$.package.metadata",
                },
            },
            then="Set up",
            repeatable=True,
        ),
        **_scaling(ctx, first="Set up", then="Is it news", on_error=context.FAILING, name=""),
        "Is it news": choice(
            {"Variable": "$.deployed.done", "BooleanEquals": True, "Next": "Tell of deployment"}, default="Done"
        ),
        "Tell of deployment": ctx.publish(
            subject=f"{ctx.endpoint}: new version serves",
            message=f"'Version {{}} serves endpoint {ctx.endpoint} with configuration {{}}. Execution: {{}}', "
            "$.package.version, $.name, $.execution",
            then="Look whether it is still approved",
        ),
        "Look whether it is still approved": ctx.describe_version(
            "$.package.arn", at="$.approval", then="Was it withdrawn meanwhile", on_error="Done"
        ),
        "Was it withdrawn meanwhile": choice(
            {"Variable": "$.approval.status", "StringEquals": "Approved", "Next": "Done"}, default=withdrawn
        ),
        "Done": succeed("The endpoint serves the version"),
    }


def fail_with_reason(ctx: Context) -> States:
    """From "Failing" (an error at $.error) or "See what serves" (a reason at $.problem.text) to the failed end."""
    restore = ctx.settings.serving.autoscaled
    return {
        context.FAILING: choice(present("$.error.Cause") | {"Next": "Say error and cause"}, default="Say error"),
        "Say error and cause": put(
            {"text.$": "States.Format('{}: {}', $.error.Error, $.error.Cause)"},
            at="$.problem",
            next_state="See what serves",
        ),
        "Say error": put({"text.$": "$.error.Error"}, at="$.problem", next_state="See what serves"),
        "See what serves": ctx.describe_endpoint(then="Say what serves", on_error="Does nothing serve"),
        "Does nothing serve": choice(
            error_says(*context.ABSENT) | {"Next": "Say that nothing serves"},
            default="Say that nobody knows what serves",
        ),
        "Say that nothing serves": put(
            {"text": f"There is no endpoint {ctx.endpoint}."}, at="$.serving", next_state="Tell of failure"
        ),
        "Say that nobody knows what serves": put(
            {"text": f"What endpoint {ctx.endpoint} serves could not be seen."},
            at="$.serving",
            next_state="Tell of failure",
        ),
        "Say what serves": put(
            {
                "text.$": f"States.Format('Endpoint {ctx.endpoint} is {{}} with configuration {{}}.', "
                "$.endpoint.EndpointStatus, $.endpoint.EndpointConfigName)"
            },
            at="$.serving",
            next_state="Can it be scaled" if restore else "Tell of failure",
        ),
        **(_restore_scaling(ctx) if restore else {}),
        "Tell of failure": ctx.publish(
            subject=f"{ctx.endpoint}: deployment failed",
            message="'The deployment failed: {} {} See docs/operations.md, section Deployments. Execution: {}', "
            "$.problem.text, $.serving.text, $.execution",
            then="Failed",
        ),
        "Failed": fail(context.FAILURE, cause_path="$.problem.text"),
        "Say that none is approved": ctx.publish(
            subject=f"{ctx.endpoint}: serves a version that is not approved",
            message=f"'The version that endpoint {ctx.endpoint} serves lost its approval, and no other version is "
            "approved: it goes on serving. Approve a version, or remove the endpoint with imgpipe endpoint --stop. "
            "Execution: {}', $.execution",
            then="Serves without approval",
        ),
        "Serves without approval": succeed("No version is approved; the endpoint goes on serving, which was notified"),
    }


def _restore_scaling(ctx: Context) -> States:
    """The target may have been deregistered for the update that failed."""
    return {
        "Can it be scaled": choice(status_is("InService") | {"Next": "Restore scaling"}, default="Tell of failure"),
        **_scaling(ctx, first="Restore scaling", then="Tell of failure", on_error="Tell of failure", name=" again"),
    }


def _scaling(ctx: Context, *, first: str, then: str, on_error: str, name: str) -> States:
    """Registers target and policy, which overwrite what is there; removes them where the load no longer counts."""
    serving = ctx.settings.serving
    if serving.kind == "serverless":
        return {first: {"Type": "Pass", "Next": then}}
    if not serving.autoscaled:
        return release_target(ctx, first=first, then=then, name=" to remove")
    capacity = {"MinCapacity": serving.instance_count, "MaxCapacity": serving.max_instance_count}
    return {
        first: ctx.call(
            "applicationautoscaling:registerScalableTarget",
            {**scalable_target(ctx), **capacity},
            then=f"Put scaling policy{name}",
            on_error=on_error,
            repeatable=True,
        ),
        f"Put scaling policy{name}": ctx.call(
            "applicationautoscaling:putScalingPolicy",
            {
                **scalable_target(ctx),
                "PolicyName": f"{ctx.endpoint}-invocations",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": _target_tracking(serving.target_invocations_per_minute),
            },
            then=then,
            on_error=on_error,
            repeatable=True,
        ),
    }


def _target_tracking(invocations: int) -> dict[str, Any]:
    return {
        "TargetValue": invocations,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleOutCooldown": _SCALE_OUT_SECONDS,
        "ScaleInCooldown": _SCALE_IN_SECONDS,
    }
