"""Which version to deploy: the one just approved, the live one under new settings, or the newest approved one."""

from __future__ import annotations

from typing import Any

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, event_is, status_is
from infra.workflows.deployment.requests import deployment_hash
from infra.workflows.states import States, choice, error_says, present, put, succeed, wait_bounded

_LIVE_PACKAGE = "$.live.model.PrimaryContainer.ModelPackageName"


def choose_version(ctx: Context, *, then: str, poll_seconds: int, polls: int) -> States:
    """From "Whose settings" to the state `then`, which finds the chosen version's ARN at $.target.arn."""
    ours = {"Variable": "$.detail.SettingsHash", "StringEquals": deployment_hash(ctx.settings)}
    return {
        # An execution started right after the machine was changed may still be one of the old definition.
        "Whose settings": choice(
            {"And": [present("$.detail.SettingsHash"), {"Not": ours}], "Next": "Outdated"},
            present("$.time") | {"Next": "Start with event"},
            default="Start",
        ),
        "Outdated": put({"outdated": True}, at="$", next_state="Start again"),
        "Start again": succeed("Other settings than those of this definition are asked for: start once more"),
        "Start with event": _start("$.time"),
        "Start": _start("$$.Execution.StartTime"),
        "What happened": choice(event_is("Approved") | {"Next": "Take this version"}, default="Look for live version"),
        "Take this version": put({"arn.$": "$.event.ModelPackageArn"}, at="$.target", next_state=then),
        **_find_live(ctx, poll_seconds=poll_seconds, polls=polls),
        **_is_it_live(),
        **_keep_live(ctx, then=then),
        **_newest_approved(ctx, then=then),
    }


def _start(moment: str) -> dict[str, Any]:
    """`moment` orders decisions: EventBridge may deliver late, or twice."""
    return put(
        {"event.$": "$.detail", "started.$": moment, "execution.$": "$$.Execution.Id", "polls": {"count": 0}},
        at="$",
        next_state="What happened",
    )


def _find_live(ctx: Context, *, poll_seconds: int, polls: int) -> States:
    """The model that serves, once nobody works on the endpoint."""
    redeploy = event_is("Redeploy")
    return {
        "Look for live version": ctx.describe_endpoint(
            then="Can live version be seen", on_error="Is there an endpoint"
        ),
        "Is there an endpoint": choice(
            {"And": [error_says(*context.ABSENT), redeploy], "Next": "Read what was live"},
            error_says(*context.ABSENT) | {"Next": "Not live"},
            error_says(*context.DENIED) | {"Next": context.FAILING},
            default="Wait to see live version",
        ),
        "Can live version be seen": choice(
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait to see live version"},
            {"And": [status_is("Failed", "OutOfService"), redeploy], "Next": "Read what was live"},
            status_is("Failed", "OutOfService") | {"Next": "Not live"},
            default="Describe live configuration",
        ),
        **wait_bounded(
            "Wait to see live version",
            seconds=poll_seconds,
            most=polls,
            again="Look for live version",
            otherwise="Busy for too long",
        ),
        "Describe live configuration": ctx.call(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName.$": "$.endpoint.EndpointConfigName"},
            at="$.live",
            select={"models.$": "$.ProductionVariants[*].ModelName"},
            then="Describe live model",
            repeatable=True,
        ),
        "Describe live model": ctx.call(
            "sagemaker:describeModel",
            {"ModelName.$": "$.live.models[0]"},
            at="$.live.model",
            then="Is it the live version",
            repeatable=True,
        ),
    }


def _is_it_live() -> States:
    """A version was rejected, or waits for approval: only the live one matters. New settings keep the live one."""
    redeploy, known = event_is("Redeploy"), present(_LIVE_PACKAGE)
    same = {"Variable": _LIVE_PACKAGE, "StringEqualsPath": "$.event.ModelPackageArn"}
    return {
        "Is it the live version": choice(
            {"And": [redeploy, known], "Next": "Take live version"},
            redeploy | {"Next": "Find approved versions"},
            {"And": [known, same], "Next": "Find approved versions"},
            default="Not live",
        ),
        "Not live": succeed("The version that is not approved does not serve, so there is nothing to do"),
    }


def _keep_live(ctx: Context, *, then: str) -> States:
    """Newer versions may be approved and yet have been rolled back: new settings are no reason to try them again."""
    return {
        "Take live version": put({"arn.$": _LIVE_PACKAGE}, at="$.target", next_state="Describe kept version"),
        "Read what was live": ctx.read_live(
            at="$.recorded", then="Does the record name a version", on_error="Find approved versions"
        ),
        "Does the record name a version": choice(
            present("$.recorded.file.model_package_arn") | {"Next": "Take recorded version"},
            default="Find approved versions",
        ),
        "Take recorded version": put(
            {"arn.$": "$.recorded.file.model_package_arn"}, at="$.target", next_state="Describe kept version"
        ),
        "Describe kept version": ctx.describe_version(
            "$.target.arn", at="$.kept", then="Is it still approved", on_error="Was it deleted"
        ),
        "Is it still approved": choice(
            {"Variable": "$.kept.status", "StringEquals": "Approved", "Next": then}, default="Find approved versions"
        ),
        "Was it deleted": choice(
            error_says(*context.ABSENT) | {"Next": "Find approved versions"}, default=context.FAILING
        ),
    }


def _newest_approved(ctx: Context, *, then: str) -> States:
    return {
        "Find approved versions": ctx.call(
            "sagemaker:listModelPackages",
            {
                "ModelPackageGroupName": ctx.names.model_package_group,
                "ModelApprovalStatus": "Approved",
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 10,
            },
            at="$.approved",
            select={"arns.$": "$.ModelPackageSummaryList[*].ModelPackageArn"},
            then="Is any approved",
            repeatable=True,
        ),
        "Is any approved": choice(
            present("$.approved.arns[0]") | {"Next": "Take newest approved version"},
            event_is("Redeploy") | {"Next": "Nothing to deploy"},
            default="Say that none is approved",
        ),
        "Take newest approved version": put({"arn.$": "$.approved.arns[0]"}, at="$.target", next_state=then),
        "Nothing to deploy": succeed("No version is approved yet"),
    }
