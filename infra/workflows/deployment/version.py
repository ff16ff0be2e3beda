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
        **_read_records(ctx),
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


def _read_records(ctx: Context) -> States:
    """What served last, by the endpoint's own record or by that of the other serving.kind, whichever is later.

    After a change of the kind the endpoint has a name without a record, or with one of before the change.
    """
    own, other = "$.recorded.file", "$.other.file"
    known = present(f"{own}.model_package_arn")
    # Both are Step Functions' own text of a moment, of which the later one is the greater.
    later = {"Variable": f"{own}.deployed_at", "StringGreaterThanEqualsPath": f"{other}.deployed_at"}
    return {
        "Read what was live": ctx.read_live(at="$.recorded", then="Read other record", on_error="Read other record"),
        "Read other record": ctx.read_live(
            at="$.other", key=ctx.other_live_key, then="Which record is later", on_error="Which record is later"
        ),
        "Which record is later": choice(
            {
                "And": [known, present(f"{own}.deployed_at"), present(f"{other}.deployed_at"), later],
                "Next": "Take recorded version",
            },
            present(f"{other}.model_package_arn") | {"Next": "Take other recorded version"},
            known | {"Next": "Take recorded version"},
            default="Find approved versions",
        ),
        "Take recorded version": put(
            {"arn.$": f"{own}.model_package_arn"}, at="$.target", next_state="Describe kept version"
        ),
        "Take other recorded version": put(
            {"arn.$": f"{other}.model_package_arn"}, at="$.target", next_state="Describe kept version"
        ),
    }


def _newest_approved(ctx: Context, *, then: str) -> States:
    found = "$.approved.ModelPackageSummaryList"
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
            # As it is: a path of a selector that finds nothing ends the execution past every Catch.
            at="$.approved",
            then="Is any approved",
            repeatable=True,
        ),
        "Is any approved": choice(
            present(f"{found}[0]") | {"Next": "Name approved versions"},
            event_is("Redeploy") | {"Next": "Nothing to deploy"},
            default="Say that none is approved",
        ),
        "Name approved versions": put(
            {"arns.$": f"{found}[*].ModelPackageArn"}, at="$.approved", next_state="Take newest approved version"
        ),
        "Take newest approved version": put({"arn.$": "$.approved.arns[0]"}, at="$.target", next_state=then),
        "Nothing to deploy": succeed("No version is approved yet"),
    }
