"""The endpoint itself: made where there is none, changed where it serves something else, awaited where it is busy."""

from __future__ import annotations

from typing import Any

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, event_is, serves_new_configuration, status_is
from infra.workflows.states import States, choice, error_says, present, put, succeed, wait_bounded


def change_endpoint(ctx: Context, *, then: str, already: str, poll_seconds: int, polls: int) -> States:
    """From "Look at endpoint" to `then` once a change is under way, to `already` where there is nothing to change."""
    return {
        **_look(ctx, already=already, poll_seconds=poll_seconds, polls=polls),
        **_is_this_still_wanted(ctx),
        **_create(ctx, then=then),
        **_update(ctx, poll_seconds=poll_seconds, polls=polls),
    }


def _look(ctx: Context, *, already: str, poll_seconds: int, polls: int) -> States:
    return {
        "Look at endpoint": ctx.describe_endpoint(then="What does the endpoint do", on_error="Is the endpoint absent"),
        "Is the endpoint absent": choice(
            error_says(*context.ABSENT) | {"Next": "Still approved before creation"},
            error_says(*context.DENIED) | {"Next": context.FAILING},
            default="Wait for others",
        ),
        "What does the endpoint do": choice(
            status_is(*context.BUSY_STATUSES) | {"Next": "Wait for others"},
            status_is("Failed", "OutOfService") | {"Next": "Remember what served"},
            {"And": [status_is("InService"), serves_new_configuration()], "Next": already},
            status_is("InService") | {"Next": "Who changed it last"},
            default="Say that it is broken",
        ),
        **wait_bounded(
            "Wait for others",
            seconds=poll_seconds,
            most=polls,
            again="Look at endpoint",
            otherwise="Busy for too long",
        ),
        # A failed endpoint takes no other call; while it is being deleted, it counts as busy.
        "Remember what served": put(
            {"config.$": "$.endpoint.EndpointConfigName"}, at="$.previous", next_state="Delete broken endpoint"
        ),
        "Delete broken endpoint": ctx.call(
            "sagemaker:deleteEndpoint",
            {"EndpointName": ctx.endpoint},
            then="Wait for others",
            on_error="Is it deleted already",
        ),
        "Is it deleted already": choice(
            error_says(*context.ABSENT, *context.BUSY, *context.THROTTLED) | {"Next": "Wait for others"},
            default=context.FAILING,
        ),
        "Busy for too long": put(
            {
                "text": "for longer than a deployment may take the endpoint was busy, could not be seen, or "
                "had an alarm of its smoke test"
            },
            at="$.problem",
            next_state="See what serves",
        ),
        "Say that it is broken": put(
            {
                "text.$": "States.Format('the endpoint is {}, which no update mends: remove it with `imgpipe endpoint "
                "--stop`, then deploy the version with `imgpipe approve {}`', $.endpoint.EndpointStatus, "
                "$.package.version)"
            },
            at="$.problem",
            next_state="See what serves",
        ),
    }


def _is_this_still_wanted(ctx: Context) -> States:
    """Between the event and the change others may have deployed something newer, or withdrawn the approval."""
    changed = f"$.tagged.Tags[?(@.Key == '{context.CHANGED_TAG}')].Value"
    approved = {"Variable": "$.approval.status", "StringEquals": "Approved"}
    return {
        "Who changed it last": ctx.call(
            "sagemaker:listTags",
            {"ResourceArn.$": "$.endpoint.EndpointArn"},
            # As it is, because an endpoint that somebody made by hand may have no tags.
            at="$.tagged",
            then="Has it tags",
            repeatable=True,
        ),
        "Has it tags": choice(
            present("$.tagged.Tags") | {"Next": "Find last change"}, default="Still approved before update"
        ),
        "Find last change": put({"by.$": changed}, at="$.changed", next_state="Did a later decision change it"),
        "Did a later decision change it": choice(
            {
                "And": [
                    present("$.changed.by[0]"),
                    # Both are the services' own text of a moment, of which the later one is the greater.
                    {"Variable": "$.changed.by[0]", "StringGreaterThanPath": "$.started"},
                ],
                "Next": "Tell that it is superseded",
            },
            default="Still approved before update",
        ),
        "Tell that it is superseded": ctx.publish(
            subject=f"{ctx.endpoint}: a later decision stands",
            message=f"'Version {{}} is not deployed to endpoint {ctx.endpoint}, for a later decision has changed it "
            "meanwhile. Execution: {}', $.package.version, $.execution",
            then="Superseded",
        ),
        "Superseded": succeed("A later decision has been deployed meanwhile, and stands"),
        "Still approved before creation": ctx.describe_version(
            "$.package.arn", at="$.approval", then="Create if still approved"
        ),
        "Create if still approved": choice(approved | {"Next": "Create endpoint"}, default="No longer approved"),
        "Still approved before update": ctx.describe_version(
            "$.package.arn", at="$.approval", then="Update if still approved"
        ),
        "Update if still approved": choice(approved | {"Next": "Remember what serves"}, default="No longer approved"),
    }


def _create(ctx: Context, *, then: str) -> States:
    return {
        "Create endpoint": ctx.call(
            "sagemaker:createEndpoint",
            creation(ctx, configuration="$.name"),
            then="Start watching",
            on_error="Was somebody faster",
            # The configuration that was just made may not be found everywhere yet.
            repeatable=True,
        ),
        "Was somebody faster": _busy_or_failing(),
        "Start watching": put({"count": 0}, at="$.polls", next_state=then),
    }


def creation(ctx: Context, *, configuration: str) -> dict[str, Any]:
    """CreateEndpoint with the configuration whose name is at this path."""
    mark = {"Key": context.CHANGED_TAG, "Value.$": "$.started"}
    return {"EndpointName": ctx.endpoint, "EndpointConfigName.$": configuration, "Tags": [*ctx.tags, mark]}


def _busy_or_failing() -> dict[str, Any]:
    return choice(error_says(*context.BUSY, *context.THROTTLED) | {"Next": "Wait for others"}, default=context.FAILING)


def _update(ctx: Context, *, poll_seconds: int, polls: int) -> States:
    """Guarded by alarms and in shares, but for a rescue: what is to save from a rejected version cannot wait."""
    realtime = ctx.settings.serving.kind == "realtime"
    guarded = _guard(ctx, poll_seconds=poll_seconds, polls=polls) if realtime else {}
    change = "Do alarms ring" if realtime else "Update endpoint"
    scaling, first = _scaling(ctx, then=change)
    return {
        "Remember what serves": put({"config.$": "$.endpoint.EndpointConfigName"}, at="$.previous", next_state=first),
        **scaling,
        **guarded,
        "Update endpoint": _update_task(ctx, deployment=deployment(ctx)),
        "Is it busy again": _busy_or_failing(),
        "Mark who changed it": ctx.call(
            "sagemaker:addTags",
            {
                "ResourceArn.$": "$.endpoint.EndpointArn",
                "Tags": [{"Key": context.CHANGED_TAG, "Value.$": "$.started"}],
            },
            then="Start watching",
            on_error="Start watching",
            repeatable=True,
        ),
    }


def _guard(ctx: Context, *, poll_seconds: int, polls: int) -> States:
    """The alarms that do not ring yet: the service would roll back at once what is to cure those that do.

    The smoke test's alarm is always among them; one that rings tells of the last deployment, and ends by itself.
    """
    smoke = ctx.names.smoke_alarm
    item = {"Type": "Pass", "Parameters": {"AlarmName.$": "$"}, "End": True}
    return {
        "Do alarms ring": ctx.call(
            "cloudwatch:describeAlarms",
            {"AlarmNames": list(ctx.names.alarms)},
            at="$.alarms",
            select={"quiet.$": "$.MetricAlarms[?(@.StateValue != 'ALARM')].AlarmName"},
            then="Find smoke alarm",
            repeatable=True,
        ),
        "Find smoke alarm": put(
            {"quiet.$": f"States.ArrayContains($.alarms.quiet, '{smoke}')"},
            at="$.alarms.smoke",
            next_state="Is the smoke alarm quiet",
        ),
        "Is the smoke alarm quiet": choice(
            {
                "And": [
                    {"Variable": "$.alarms.smoke.quiet", "BooleanEquals": True},
                    event_is("Rejected", "PendingManualApproval"),
                ],
                "Next": "Rescue endpoint",
            },
            {"Variable": "$.alarms.smoke.quiet", "BooleanEquals": True, "Next": "List quiet alarms"},
            default="Wait for smoke alarm",
        ),
        **wait_bounded(
            "Wait for smoke alarm",
            seconds=poll_seconds,
            most=polls,
            again="Do alarms ring",
            otherwise="Busy for too long",
        ),
        "List quiet alarms": {
            "Type": "Map",
            "ItemsPath": "$.alarms.quiet",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Name alarm",
                "States": {"Name alarm": item},
            },
            "ResultPath": "$.alarms.guards",
            "Next": "Update endpoint",
        },
        "Rescue endpoint": _update_task(ctx, deployment=_all_at_once(ctx)),
    }


def _update_task(ctx: Context, *, deployment: dict[str, Any] | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"EndpointName": ctx.endpoint, "EndpointConfigName.$": "$.name"}
    if ctx.settings.serving.autoscaled:
        # The number of instances that the load asks for now, not the one that the configuration begins with.
        parameters["RetainAllVariantProperties"] = True
        parameters["ExcludeRetainedVariantProperties.$"] = "$.capacity.excluded"
    if deployment:
        parameters["DeploymentConfig"] = deployment
    return ctx.call("sagemaker:updateEndpoint", parameters, then="Mark who changed it", on_error="Is it busy again")


def _scaling(ctx: Context, *, then: str) -> tuple[States, str]:
    """What has to be done about scaling before an update, and its first state.

    A scalable target holds its instance type: UpdateEndpoint refuses another one while it is registered.
    """
    serving = ctx.settings.serving
    if serving.kind == "serverless":
        return {}, then
    if not serving.autoscaled:
        return release_target(ctx, first="Deregister target", then=then), "Deregister target"
    variant = "$.endpoint.ProductionVariants[0]"
    current = "$.variant.first.CurrentInstanceCount"
    states = {
        "Are instances known": choice(
            present(f"{variant}.CurrentInstanceCount") | {"Next": "Take variant"}, default="Retain instances"
        ),
        "Take variant": put({"first.$": variant}, at="$.variant", next_state="Are there too few instances"),
        # Of fewer instances than the settings ask for a canary's share may be more than half.
        "Are there too few instances": choice(
            {"Variable": current, "NumericLessThan": serving.instance_count, "Next": "Take configured instances"},
            default="Retain instances",
        ),
        "Take configured instances": put(
            {"excluded": [{"VariantPropertyType": "DesiredInstanceCount"}]},
            at="$.capacity",
            next_state="Does the instance type change",
        ),
        "Retain instances": put({"excluded": []}, at="$.capacity", next_state="Does the instance type change"),
        "Does the instance type change": ctx.call(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName.$": "$.endpoint.EndpointConfigName"},
            at="$.before",
            select={"types.$": "$.ProductionVariants[*].InstanceType"},
            then="Is it the same type",
            repeatable=True,
        ),
        "Is it the same type": choice(
            {
                "And": [
                    present("$.before.types[0]"),
                    {"Variable": "$.before.types[0]", "StringEquals": serving.instance_type},
                ],
                "Next": then,
            },
            default="Deregister target",
        ),
    }
    return states | release_target(ctx, first="Deregister target", then=then), "Are instances known"


def release_target(ctx: Context, *, first: str, then: str, name: str = "") -> States:
    """Deregisters the scalable target, with its policy; that there is none is no error."""
    return {
        first: ctx.call(
            "applicationautoscaling:deregisterScalableTarget",
            scalable_target(ctx),
            then=then,
            on_error=f"Was there a target{name}",
        ),
        f"Was there a target{name}": choice(
            {"Variable": "$.error.Error", "StringMatches": "*ObjectNotFound*", "Next": then},
            error_says("*No scalable target*") | {"Next": then},
            default=context.FAILING,
        ),
    }


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
    return _guarded(routing, bake=bake, limit=serving.deployment_limit_seconds, alarms={"Alarms.$": "$.alarms.guards"})


def _all_at_once(ctx: Context) -> dict[str, Any]:
    """Quickly, and watched by the smoke test alone."""
    serving = ctx.settings.serving
    return _guarded(
        {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        bake=serving.bake_minutes * 60,
        limit=serving.deployment_limit_seconds,
        alarms={"Alarms": [{"AlarmName": ctx.names.smoke_alarm}]},
    )


def _guarded(routing: dict[str, Any], *, bake: int, limit: int, alarms: dict[str, Any]) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": bake,
            "MaximumExecutionTimeoutInSeconds": limit,
        },
        "AutoRollbackConfiguration": alarms,
    }
