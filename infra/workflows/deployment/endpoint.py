"""The endpoint itself: made where there is none, changed where it serves something else, awaited where it is busy."""

from __future__ import annotations

from typing import Any

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, serves_new_configuration, status_is
from infra.workflows.states import States, choice, count, error_says, present, put, succeed, wait


def change_endpoint(ctx: Context, *, then: str, already: str, poll_seconds: int, polls: int) -> States:
    """From "Look at endpoint" to `then` once a change is under way, to `already` where there is nothing to change."""
    return {
        **_look(ctx, already=already, poll_seconds=poll_seconds, polls=polls),
        **_is_this_still_wanted(ctx),
        **_create(ctx, then=then),
        **_update(ctx, then=then),
    }


def _look(ctx: Context, *, already: str, poll_seconds: int, polls: int) -> States:
    return {
        "Look at endpoint": ctx.describe_endpoint(then="What does the endpoint do", on_error="Is the endpoint absent"),
        "Is the endpoint absent": choice(
            error_says(*context.ABSENT) | {"Next": "Still approved before creation"},
            error_says(*context.THROTTLED) | {"Next": "Wait for others"},
            default=context.FAILING,
        ),
        "What does the endpoint do": choice(
            {"Variable": "$.polls.count", "NumericGreaterThan": polls, "Next": "Busy for too long"},
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for others"},
            status_is("Failed", "OutOfService") | {"Next": "Delete broken endpoint"},
            {"And": [status_is("InService"), serves_new_configuration()], "Next": already},
            status_is("InService") | {"Next": "Who changed it last"},
            default="Say that it is broken",
        ),
        "Wait for others": wait(poll_seconds, next_state="Count looks"),
        "Count looks": count("$.polls", next_state="Look at endpoint"),
        # A failed endpoint takes no other call; while it is being deleted, it counts as busy.
        "Delete broken endpoint": ctx.call(
            "sagemaker:deleteEndpoint",
            {"EndpointName": ctx.endpoint},
            then="Wait for others",
            on_error="Is it deleted already",
        ),
        "Is it deleted already": choice(
            error_says(*context.ABSENT, *context.BUSY) | {"Next": "Wait for others"}, default=context.FAILING
        ),
        "Busy for too long": put(
            {
                "text.$": "States.Format('the endpoint was busy ({}) for longer than a deployment may take', "
                "$.endpoint.EndpointStatus)"
            },
            at="$.problem",
            next_state="See what serves",
        ),
        "Say that it is broken": put(
            {
                "text.$": "States.Format('the endpoint is {}, which no update mends: delete it and approve again', "
                "$.endpoint.EndpointStatus)"
            },
            at="$.problem",
            next_state="See what serves",
        ),
    }


def _is_this_still_wanted(ctx: Context) -> States:
    """Between the event and the change others may have deployed something newer, or withdrawn the approval."""
    changed = f"$.Tags[?(@.Key == '{context.CHANGED_TAG}')].Value"
    return {
        "Who changed it last": ctx.call(
            "sagemaker:listTags",
            {"ResourceArn.$": "$.endpoint.EndpointArn"},
            at="$.changed",
            select={"by.$": changed},
            then="Did a later execution change it",
        ),
        "Did a later execution change it": choice(
            {
                "And": [
                    present("$.changed.by[0]"),
                    # Both are the service's own text of a moment, of which the later one is the greater.
                    {"Variable": "$.changed.by[0]", "StringGreaterThanPath": "$.started"},
                ],
                "Next": "Superseded",
            },
            default="Still approved before update",
        ),
        "Superseded": succeed("An execution that began later has deployed meanwhile; the newer decision stands"),
        "Still approved before creation": _approval(ctx, then="Create if still approved"),
        "Create if still approved": _if_approved("Create endpoint"),
        "Still approved before update": _approval(ctx, then="Update if still approved"),
        "Update if still approved": _if_approved("Remember what serves"),
    }


def _approval(ctx: Context, *, then: str) -> dict[str, Any]:
    return ctx.call(
        "sagemaker:describeModelPackage",
        {"ModelPackageName.$": "$.package.arn"},
        at="$.approval",
        select={"status.$": "$.ModelApprovalStatus"},
        then=then,
    )


def _if_approved(then: str) -> dict[str, Any]:
    return choice(
        {"Variable": "$.approval.status", "StringEquals": "Approved", "Next": then}, default="No longer approved"
    )


def _create(ctx: Context, *, then: str) -> States:
    mark = {"Key": context.CHANGED_TAG, "Value.$": "$.started"}
    return {
        "Create endpoint": ctx.call(
            "sagemaker:createEndpoint",
            {"EndpointName": ctx.endpoint, "EndpointConfigName.$": "$.name", "Tags": [*ctx.tags, mark]},
            then="Start watching",
            on_error="Was somebody faster",
        ),
        "Was somebody faster": choice(error_says(*context.BUSY) | {"Next": "Wait for others"}, default=context.FAILING),
        "Start watching": put({"count": 0}, at="$.polls", next_state=then),
    }


def _update(ctx: Context, *, then: str) -> States:
    """Guarded by alarms, but for a rescue: what is to save a bad endpoint cannot wait for alarms to be silent."""
    del then  # all ways meet at "Start watching"
    serving = ctx.settings.serving
    rescued = {"Variable": "$.event.ModelApprovalStatus", "StringEquals": "Approved"}
    guarded: States = {}
    if serving.kind == "realtime":
        guarded = {
            "Is it a rescue": choice(
                {"Not": rescued, "Next": "Rescue endpoint"},
                default="Do alarms ring",
            ),
            "Do alarms ring": ctx.call(
                "cloudwatch:describeAlarms",
                {"AlarmNames": list(ctx.names.alarms), "StateValue": "ALARM"},
                at="$.alarms",
                select={"ringing.$": "$.MetricAlarms[*].AlarmName"},
                then="Is it worse already",
            ),
            "Is it worse already": choice(
                present("$.alarms.ringing[0]") | {"Next": "Rescue endpoint"}, default="Update endpoint"
            ),
            "Rescue endpoint": _update_task(ctx, deployment=_all_at_once(ctx)),
        }
    return {
        "Remember what serves": put(
            {"config.$": "$.endpoint.EndpointConfigName"},
            at="$.previous",
            next_state=_first_of_scaling(ctx, guarded),
        ),
        **_release_scaling(ctx, guarded),
        **guarded,
        "Update endpoint": _update_task(ctx, deployment=deployment(ctx)),
        "Is it busy again": choice(error_says(*context.BUSY) | {"Next": "Wait for others"}, default=context.FAILING),
        "Mark who changed it": ctx.call(
            "sagemaker:addTags",
            {
                "ResourceArn.$": "$.endpoint.EndpointArn",
                "Tags": [{"Key": context.CHANGED_TAG, "Value.$": "$.started"}],
            },
            then="Start watching",
            on_error="Start watching",
        ),
    }


def _update_task(ctx: Context, *, deployment: dict[str, Any] | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"EndpointName": ctx.endpoint, "EndpointConfigName.$": "$.name"}
    if ctx.settings.serving.autoscaled:
        # The number of instances that the load asks for now, not the one that the configuration begins with.
        parameters["RetainAllVariantProperties"] = True
    if deployment:
        parameters["DeploymentConfig"] = deployment
    return ctx.call("sagemaker:updateEndpoint", parameters, then="Mark who changed it", on_error="Is it busy again")


def _first_of_scaling(ctx: Context, guarded: States) -> str:
    after = "Is it a rescue" if guarded else "Update endpoint"
    if ctx.settings.serving.kind == "serverless":
        return after
    return "Does the instance type change" if ctx.settings.serving.autoscaled else "Deregister target"


def _release_scaling(ctx: Context, guarded: States) -> States:
    """A scalable target holds its instance type: UpdateEndpoint refuses another one while it is registered."""
    serving = ctx.settings.serving
    if serving.kind == "serverless":
        return {}
    after = "Is it a rescue" if guarded else "Update endpoint"
    states: States = {
        "Deregister target": ctx.call(
            "applicationautoscaling:deregisterScalableTarget",
            scalable_target(ctx),
            then=after,
            on_error="Was there a target",
        ),
        "Was there a target": choice(
            {"Variable": "$.error.Error", "StringMatches": "*ObjectNotFound*", "Next": after},
            error_says("*No scalable target*") | {"Next": after},
            default=context.FAILING,
        ),
    }
    if serving.autoscaled:
        states |= {
            "Does the instance type change": ctx.call(
                "sagemaker:describeEndpointConfig",
                {"EndpointConfigName.$": "$.endpoint.EndpointConfigName"},
                at="$.before",
                select={"types.$": "$.ProductionVariants[*].InstanceType"},
                then="Is it the same type",
            ),
            "Is it the same type": choice(
                {
                    "And": [
                        present("$.before.types[0]"),
                        {"Variable": "$.before.types[0]", "StringEquals": serving.instance_type},
                    ],
                    "Next": after,
                },
                default="Deregister target",
            ),
        }
    return states


def scalable_target(ctx: Context) -> dict[str, str]:
    """The number of instances of the endpoint's variant, as Application Auto Scaling names it."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{ctx.endpoint}/variant/{context.VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def deployment(ctx: Context) -> dict[str, Any] | None:
    """UpdateEndpoint's DeploymentConfig; serverless endpoints have no guardrails.

    The old fleet stays for one more bake after all traffic moved, in which the alarms still roll back. A canary and
    linear steps are at most half of the instances, so a single instance moves all at once.
    """
    serving = ctx.settings.serving
    if serving.kind == "serverless":
        return None
    bake = serving.bake_minutes * 60
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    share = {"Type": "CAPACITY_PERCENT", "Value": serving.shift_percent}
    if serving.shifts == "canary":
        routing = {"Type": "CANARY", "WaitIntervalInSeconds": bake, "CanarySize": share}
    if serving.shifts == "linear":
        routing = {"Type": "LINEAR", "WaitIntervalInSeconds": bake, "LinearStepSize": share}
    return _guarded(routing, bake=bake, limit=serving.deployment_limit_seconds, alarms=ctx.names.alarms)


def _all_at_once(ctx: Context) -> dict[str, Any]:
    """Quickly, and watched by the smoke test alone."""
    serving = ctx.settings.serving
    return _guarded(
        {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        bake=serving.bake_minutes * 60,
        limit=serving.deployment_limit_seconds,
        alarms=(ctx.names.smoke_alarm,),
    )


def _guarded(routing: dict[str, Any], *, bake: int, limit: int, alarms: tuple[str, ...]) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": bake,
            "MaximumExecutionTimeoutInSeconds": limit,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }
