"""The optimized SageMaker integration of Step Functions, which moto lacks: createProcessingJob, with and without sync.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

from local.emulator.answers import plain
from local.emulator.replaced import replaced
from local.errors import LocalRunError

_ACTION: Final = "createProcessingJob"
_ENDED: Final = ("Completed", "Failed", "Stopped")


class ProcessingJobs(Protocol):
    """Carries out processing jobs, see local.jobs."""

    def run(self, name: str, request: Mapping[str, Any]) -> None:
        """Runs a job to its end, its state where DescribeProcessingJob finds it."""
        ...


@contextmanager
def service_tasks(jobs: Callable[[], ProcessingJobs | None]) -> Iterator[None]:
    """While open, tasks with a resource arn:aws:states:::sagemaker:... run their jobs with what `jobs` gives."""
    earlier = state_task_factory.state_task_service_for

    def task_for(service_name: str) -> Any:
        return _SageMakerTask(jobs) if service_name == "sagemaker" else earlier(service_name)

    with replaced(state_task_factory, state_task_service_for=task_for):
        yield


class _SageMakerTask(StateTaskServiceCallback):  # type: ignore[misc]  # moto comes without types
    def __init__(self, jobs: Callable[[], ProcessingJobs | None]) -> None:
        # Without the second, moto has no endpoint to wait at.
        super().__init__({ResourceCondition.Sync, ResourceCondition.WaitForTaskToken})
        self._jobs = jobs

    def _get_supported_parameters(self) -> set[str] | None:
        return set() if self.resource.api_action == _ACTION else None

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        jobs = self._jobs()
        if jobs is None:
            raise LocalRunError(f"{self.resource.resource_arn}: the emulated account has no containers to run jobs in")
        request = dict(normalised_parameters)
        name = request.pop("ProcessingJobName")
        client = boto_client_for(service="sagemaker", region=resource_runtime_part.region)
        _refuse_taken_name(client, name)
        jobs.run(name, request)
        env.stack.append(
            {"ProcessingJobArn": client.describe_processing_job(ProcessingJobName=name)["ProcessingJobArn"]}
        )

    def _build_sync_resolver(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> Callable[[], Any]:
        arn = env.stack.pop()["ProcessingJobArn"]
        client = boto_client_for(service="sagemaker", region=resource_runtime_part.region)

        def resolve() -> dict[str, Any] | None:
            described = client.describe_processing_job(ProcessingJobName=arn.rsplit("/", 1)[-1])
            described.pop("ResponseMetadata", None)
            if described["ProcessingJobStatus"] not in _ENDED:
                return None
            answer: dict[str, Any] = plain(described)
            if described["ProcessingJobStatus"] != "Completed":
                failed = StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)
                raise FailureEventException(self._failure(env, failed, json.dumps(answer)))
            return answer

        return resolve

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, ClientError):
            name = CustomErrorName("SageMaker.AmazonSageMakerException")
            return self._failure(env, name, ex.response["Error"]["Message"])
        return super()._from_error(env=env, ex=ex)

    def _failure(self, env: Any, error: Any, cause: str) -> FailureEvent:
        return FailureEvent(
            env=env,
            error_name=error,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(
                taskFailedEventDetails=TaskFailedEventDetails(
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                    error=error.error_name,
                    cause=cause,
                )
            ),
        )


def _refuse_taken_name(client: Any, name: str) -> None:
    try:
        client.describe_processing_job(ProcessingJobName=name)
    except ClientError:
        return  # there is none yet
    raise ClientError(
        {"Error": {"Code": "ResourceInUse", "Message": f"Job name {name} must be unique"}}, "CreateProcessingJob"
    )
