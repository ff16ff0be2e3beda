"""What moto's SageMaker leaves out of jobs and executions: states, failure reasons, the listing of steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from moto.core.responses import ActionResult
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse


class JobStates:
    """Writes what a real service would write, where `describe_*` finds it."""

    def __init__(self, *, account: str, region: str) -> None:
        self._backend = sagemaker_backends[account][region]

    def processing(self, name: str, *, status: str, **fields: Any) -> None:
        """Sets the state of a processing job and the request's fields that moto drops."""
        job = self._backend.processing_jobs[name]
        job.processing_job_status = status
        _update(job, fields)

    def training(self, name: str, *, status: str, **fields: Any) -> None:
        """Sets the state of a training job."""
        job = self._backend.training_jobs[name]
        job.training_job_status = job.secondary_status = status
        _update(job, fields)

    def execution(self, arn: str, *, status: str, failure_reason: str | None, steps: list[dict[str, Any]]) -> None:
        """Sets the state of a pipeline execution and of its steps, in order of their start."""
        pipeline = next(item for item in self._backend.pipelines.values() if arn in item.pipeline_executions)
        execution = pipeline.pipeline_executions[arn]
        execution.pipeline_execution_status = status
        execution.pipeline_execution_failure_reason = failure_reason
        execution.last_modified_time = datetime.now(timezone.utc)
        execution.steps = steps


def _update(job: Any, fields: dict[str, Any]) -> None:
    job.last_modified_time = datetime.now(timezone.utc)
    for name, value in fields.items():
        setattr(job, name, value)


@contextmanager
def completed_actions() -> Iterator[None]:
    """While open, moto answers ListPipelineExecutionSteps, and DescribePipelineExecution with its failure reason."""
    describe = SageMakerModelBackend.describe_pipeline_execution

    def describe_with_reason(self: SageMakerModelBackend, pipeline_execution_arn: str) -> dict[str, Any]:
        answer: dict[str, Any] = describe(self, pipeline_execution_arn)
        reason = _execution(self, pipeline_execution_arn).pipeline_execution_failure_reason
        answer.pop("FailureReason")
        return answer | ({"FailureReason": reason} if reason else {})

    def list_steps(self: SageMakerResponse) -> ActionResult:
        execution = _execution(self.sagemaker_backend, self._get_param("PipelineExecutionArn"))
        steps = list(getattr(execution, "steps", []))
        newest_first = self._get_param("SortOrder", "Descending") == "Descending"
        return ActionResult({"PipelineExecutionSteps": steps[::-1] if newest_first else steps})

    SageMakerModelBackend.describe_pipeline_execution = describe_with_reason
    SageMakerResponse.list_pipeline_execution_steps = list_steps
    try:
        yield
    finally:
        SageMakerModelBackend.describe_pipeline_execution = describe
        del SageMakerResponse.list_pipeline_execution_steps


def _execution(backend: SageMakerModelBackend, arn: str) -> Any:
    return next(item.pipeline_executions[arn] for item in backend.pipelines.values() if arn in item.pipeline_executions)
