"""Which version to deploy: the one just approved, or the newest approved one once the live one lost its approval."""

from __future__ import annotations

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, status_is
from infra.workflows.states import States, choice, count, error_says, present, put, succeed, wait


def choose_version(ctx: Context, *, then: str, poll_seconds: int, polls: int) -> States:
    """From "Start" to the state `then`, which finds the chosen version's ARN at $.target.arn."""
    return {
        "Start": put(
            {
                "event.$": "$.detail",
                "started.$": "$$.Execution.StartTime",
                "execution.$": "$$.Execution.Id",
                "polls": {"count": 0},
            },
            at="$",
            next_state="What happened",
        ),
        "What happened": choice(
            {"Variable": "$.event.ModelApprovalStatus", "StringEquals": "Approved", "Next": "Take this version"},
            {"Variable": "$.event.ModelApprovalStatus", "StringEquals": "Redeploy", "Next": "Find approved versions"},
            default="Look for live version",
        ),
        "Take this version": put({"arn.$": "$.event.ModelPackageArn"}, at="$.target", next_state=then),
        **_is_it_live(ctx, poll_seconds=poll_seconds, polls=polls),
        **_newest_approved(ctx, then=then),
    }


def _is_it_live(ctx: Context, *, poll_seconds: int, polls: int) -> States:
    """A version was rejected, or waits for approval; only the live one matters, once nobody works on the endpoint."""
    return {
        "Look for live version": ctx.describe_endpoint(
            then="Can live version be seen", on_error="Is there an endpoint"
        ),
        "Is there an endpoint": choice(
            error_says(*context.ABSENT) | {"Next": "Not live"},
            error_says(*context.THROTTLED) | {"Next": "Wait to see live version"},
            default=context.FAILING,
        ),
        "Can live version be seen": choice(
            {"Variable": "$.polls.count", "NumericGreaterThan": polls, "Next": "Busy for too long"},
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait to see live version"},
            status_is("Failed", "OutOfService") | {"Next": "Not live"},
            default="Describe live configuration",
        ),
        "Wait to see live version": wait(poll_seconds, next_state="Count looks for live version"),
        "Count looks for live version": count("$.polls", next_state="Look for live version"),
        "Describe live configuration": ctx.call(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName.$": "$.endpoint.EndpointConfigName"},
            at="$.live",
            select={"models.$": "$.ProductionVariants[*].ModelName"},
            then="Describe live model",
        ),
        "Describe live model": ctx.call(
            "sagemaker:describeModel",
            {"ModelName.$": "$.live.models[0]"},
            at="$.live.model",
            then="Is it the live version",
        ),
        "Is it the live version": choice(
            {
                "And": [
                    present("$.live.model.PrimaryContainer.ModelPackageName"),
                    {
                        "Variable": "$.live.model.PrimaryContainer.ModelPackageName",
                        "StringEqualsPath": "$.event.ModelPackageArn",
                    },
                ],
                "Next": "Find approved versions",
            },
            default="Not live",
        ),
        "Not live": succeed("The version that is not approved does not serve, so there is nothing to do"),
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
        ),
        "Is any approved": choice(
            present("$.approved.arns[0]") | {"Next": "Take newest approved version"},
            {"Variable": "$.event.ModelApprovalStatus", "StringEquals": "Redeploy", "Next": "Nothing to deploy"},
            default="Say that none is approved",
        ),
        "Take newest approved version": put({"arn.$": "$.approved.arns[0]"}, at="$.target", next_state=then),
        "Nothing to deploy": succeed("No version is approved yet"),
    }
