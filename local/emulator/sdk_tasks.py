"""SDK integrations of Step Functions (arn:aws:states:::aws-sdk:...): their names, clients and answers put right."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import boto3
from botocore.config import Config
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk as sdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.utils import boto_client

from local.emulator.answers import plain
from local.emulator.replaced import replaced

# SDK integrations whose service boto3 calls otherwise.
_CLIENTS: Final = {
    "sagemakerruntime": "sagemaker-runtime",
    "applicationautoscaling": "application-autoscaling",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
}
# How the errors of an SDK integration begin: the service's name in the AWS SDK for Java.
# https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
_ERROR_NAMES: Final = {
    "sagemaker": "SageMaker",
    "sagemakerruntime": "SageMakerRuntime",
    "applicationautoscaling": "ApplicationAutoScaling",
    "cloudwatch": "CloudWatch",
    "cloudwatchlogs": "CloudWatchLogs",
    "eventbridge": "EventBridge",
    "lambda": "Lambda",
    "s3": "S3",
    "sns": "Sns",
    "sqs": "Sqs",
}


@contextmanager
def completed_sdk_tasks() -> Iterator[None]:
    """While open, SDK integrations reach the account, with the service's names for clients and errors.

    They send binary fields as JSON text and answer with JSON: times as text, streams read.
    """
    evaluate = sdk.StateTaskServiceAwsSdk._eval_service_task

    def evaluate_plainly(
        self: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        client = boto_client.boto_client_for(service=self._get_boto_service_name(), region=resource_runtime_part.region)
        operation = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[self._get_boto_service_action()]
        )
        members = operation.input_shape.members
        # Step Functions writes all names with a capital; some services, its own among them, do not.
        renamed = any(name[0].islower() for name in members)
        if renamed:
            self._to_boto_request(normalised_parameters, operation.input_shape)
        request = {
            name: json.dumps(value).encode() if name in members and members[name].type_name == "blob" else value
            for name, value in normalised_parameters.items()
        }
        evaluate(self, env, resource_runtime_part, request, state_credentials)
        env.stack[-1] = plain(env.stack[-1])
        if renamed:
            self._from_boto_response(env.stack[-1], operation.output_shape)

    clients = SimpleNamespace(client=_Clients().client)
    services = {**StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES, **_CLIENTS}
    with (
        replaced(boto_client, boto3=clients),
        replaced(StateTaskService, _SERVICE_NAME_SFN_TO_BOTO_OVERRIDES=services),
        replaced(sdk, _SERVICE_ERROR_NAMES={**sdk._SERVICE_ERROR_NAMES, **_ERROR_NAMES}),
        replaced(sdk.StateTaskServiceAwsSdk, _eval_service_task=evaluate_plainly),
    ):
        yield


class _Clients:
    """One client for each service, checked by the service's model; boto3 cannot make two at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Any] = {}

    def client(self, *, service_name: str, region_name: str, **_: Any) -> Any:
        """In place of boto3.client, with the arguments that moto gives it."""
        with self._lock:
            key = (service_name, region_name)
            if key not in self._made:
                config = Config(retries={"total_max_attempts": 1})
                self._made[key] = boto3.client(service_name, region_name=region_name, config=config)  # type: ignore[call-overload]
            return self._made[key]
