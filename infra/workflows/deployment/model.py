"""Model and endpoint configuration of the chosen version; what is there already counts as made."""

from __future__ import annotations

from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context
from infra.workflows.deployment.requests import configuration_request, model_request, settings_hash
from infra.workflows.states import States, choice, error_says, present, put, succeed


def prepare(ctx: Context, *, then: str) -> States:
    """From "Describe version" to `then`, which finds $.package, $.name and $.sample."""
    return {**_describe(ctx), **_create_model(ctx), **_create_configuration(ctx), **_load_sample(ctx, then=then)}


def _describe(ctx: Context) -> States:
    """The answer is kept whole until "Begin", which drops it: what it lacks a selector's path could not ask for.

    A path that finds nothing there ends the execution past every Catch (States.Runtime).
    """
    return {
        "Describe version": ctx.call(
            "sagemaker:describeModelPackage",
            {"ModelPackageName.$": "$.target.arn"},
            at="$.described",
            then="Is it approved",
            repeatable=True,
        ),
        "Is it approved": choice(
            {
                "And": [
                    present("$.described.ModelApprovalStatus"),
                    {"Variable": "$.described.ModelApprovalStatus", "StringEquals": "Approved"},
                ],
                "Next": "Can it be served",
            },
            default="No longer approved",
        ),
        "No longer approved": succeed("The version lost its approval meanwhile; that has an execution of its own"),
        "Can it be served": choice(
            present("$.described.CustomerMetadataProperties.sample_uri") | {"Next": "Name model"},
            default="Say that it cannot be served",
        ),
        "Say that it cannot be served": put(
            {
                "text.$": "States.Format('version {} has no sample_uri in its metadata, for it was "
                "registered before there was an endpoint. Run the pipeline again and approve what it registers.', "
                "$.described.ModelPackageVersion)"
            },
            at="$.problem",
            next_state="See what serves",
        ),
        **_begin(ctx),
    }


def _begin(ctx: Context) -> States:
    """What the deployment needs of what was found, and nothing else: a state's data end at 256 KiB."""
    return {
        "Name model": put(
            {
                "name.$": f"States.Format('{ctx.settings.prefix}-v{{}}-{settings_hash(ctx.settings)}', "
                "$.described.ModelPackageVersion)",
                "path.$": "States.StringSplit($.described.CustomerMetadataProperties.sample_uri, '/')",
                "polls": {"count": 0},
                "smoke": {"state": "pending", "text": ""},
                "tries": {"count": 0},
            },
            at="$.plan",
            next_state="Begin",
        ),
        "Begin": {
            "Type": "Pass",
            "Parameters": {
                "event.$": "$.event",
                "started.$": "$.started",
                "execution.$": "$.execution",
                "target.$": "$.target",
                "package": {
                    "arn.$": "$.described.ModelPackageArn",
                    "version.$": "$.described.ModelPackageVersion",
                    "metadata.$": "$.described.CustomerMetadataProperties",
                },
                "name.$": "$.plan.name",
                "path.$": "$.plan.path",
                "polls.$": "$.plan.polls",
                "smoke.$": "$.plan.smoke",
                "tries.$": "$.plan.tries",
            },
            "Next": "Find model",
        },
    }


def _create_model(ctx: Context) -> States:
    return {
        "Find model": ctx.call(
            "sagemaker:describeModel",
            {"ModelName.$": "$.name"},
            then="Find configuration",
            # Whatever kept it from being seen: one that exists is not made again.
            on_error="Create model",
        ),
        "Create model": ctx.call(
            "sagemaker:createModel",
            model_request(ctx),
            then="Find configuration",
            on_error="Was the model made meanwhile",
            repeatable=True,
        ),
        "Was the model made meanwhile": choice(
            error_says("*already exist*") | {"Next": "Find configuration"}, default=context.FAILING
        ),
    }


def _create_configuration(ctx: Context) -> States:
    return {
        "Find configuration": ctx.call(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName.$": "$.name"},
            then="Load sample",
            on_error="Create configuration",
        ),
        "Create configuration": ctx.call(
            "sagemaker:createEndpointConfig",
            configuration_request(ctx),
            then="Load sample",
            on_error="Was the configuration made meanwhile",
            # The model that was just made may not be found everywhere yet.
            repeatable=True,
        ),
        "Was the configuration made meanwhile": choice(
            error_says("*already exist*") | {"Next": "Load sample"}, default=context.FAILING
        ),
    }


def _load_sample(ctx: Context, *, then: str) -> States:
    """The sample is read before any traffic moves: without it nothing could be tested.

    Its key is models/<execution>/serving/sample.json; the execution stands third from the end of the URI, however
    StringSplit treats the empty part between the two slashes of s3://.
    """
    third_last = "States.ArrayGetItem($.path, States.MathAdd(States.ArrayLength($.path), -3))"
    return {
        "Load sample": ctx.call(
            "s3:getObject",
            {
                "Bucket": ctx.names.artifact_bucket,
                "Key.$": f"States.Format('models/{{}}/serving/sample.json', {third_last})",
            },
            at="$.sample",
            select={"file.$": "States.StringToJson($.Body)"},
            then=then,
            repeatable=True,
        ),
    }
