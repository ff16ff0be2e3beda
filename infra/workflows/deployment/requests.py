"""The requests that make a model and its endpoint configuration, and the digits that tell them apart by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any, Final

from infra.settings import EnvironmentSettings
from infra.workflows.deployment import context
from infra.workflows.deployment.context import Context, DeployNames

MEGABYTE: Final = 1024 * 1024
# A cold instance downloads and unpacks the model, and then has to answer its first ping.
_STARTUP_SECONDS: Final = 600
_DIGITS: Final = 8
# Each name stands for itself: real ones are CDK tokens, whose text differs from synth to synth.
_STAND_INS: Final = DeployNames(**{field.name: field.name for field in fields(DeployNames)})


def settings_hash(settings: EnvironmentSettings) -> str:
    """8 hex digits over both requests: equal digits, equal model and endpoint configuration, so what exists will do.

    What they are made from is found in the requests themselves, whether a setting says it or this module. Left out are
    the names (account, bucket, role), of which a stack has one set, and the tags: a new one is no reason to deploy.
    """
    ctx = Context(settings, _STAND_INS)
    requests = [
        {key: value for key, value in request.items() if key != "Tags"}
        for request in (model_request(ctx), configuration_request(ctx))
    ]
    return hashlib.sha256(json.dumps(requests, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def deployment_hash(settings: EnvironmentSettings) -> str:
    """What a deployment is made from, and how it scales: equal text, nothing to deploy."""
    return f"{settings_hash(settings)}-{settings.serving.scaling_text}"


def model_request(ctx: Context) -> dict[str, Any]:
    """CreateModel: the version's image and artifact, with what the container is told."""
    serving = ctx.settings.serving
    request: dict[str, Any] = {
        "ModelName.$": "$.name",
        "PrimaryContainer": {
            "ModelPackageName.$": "$.package.arn",
            "Environment": {
                "IMGPIPE_MODEL_NAME.$": "$.name",
                "IMGPIPE_MAX_PAYLOAD_BYTES": str(int(serving.payload_limit_mb * MEGABYTE)),
            },
        },
        "ExecutionRoleArn": ctx.names.endpoint_role_arn,
        "EnableNetworkIsolation": serving.isolated,
        "Tags": ctx.tags,
    }
    if serving.subnet_ids:
        request["VpcConfig"] = {
            "Subnets": list(serving.subnet_ids),
            "SecurityGroupIds": list(serving.security_group_ids),
        }
    return request


def configuration_request(ctx: Context) -> dict[str, Any]:
    """CreateEndpointConfig: one variant, which gets all traffic."""
    serving = ctx.settings.serving
    request: dict[str, Any] = {
        "EndpointConfigName.$": "$.name",
        "ProductionVariants": [{"VariantName": context.VARIANT, "ModelName.$": "$.name", **_capacity(ctx.settings)}],
        "Tags": ctx.tags,
    }
    if serving.volume_key_arn:
        request["KmsKeyId"] = serving.volume_key_arn
    if serving.capture_percent:
        request["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": serving.capture_percent,
            "DestinationS3Uri": f"s3://{ctx.names.artifact_bucket}/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            **({"KmsKeyId": serving.kms_key_arn} if serving.kms_key_arn else {}),
        }
    return request


def _capacity(settings: EnvironmentSettings) -> dict[str, Any]:
    serving = settings.serving
    if serving.kind == "serverless":
        return {
            "ServerlessConfig": {
                "MemorySizeInMB": serving.serverless_memory_mb,
                "MaxConcurrency": serving.serverless_max_concurrency,
            }
        }
    return {
        "InstanceType": serving.instance_type,
        "InitialInstanceCount": serving.instance_count,
        "InitialVariantWeight": 1,
        "ContainerStartupHealthCheckTimeoutInSeconds": _STARTUP_SECONDS,
    }
