"""What moto's SageMaker leaves out of jobs and executions: states, failure reasons, the listing of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

_RUNNING: Final = "InProgress"
# A training job has a second status, which names the phase while it runs.
_SECONDARY: Final = {_RUNNING: "Training"}
# Fields of CreateTrainingJob that DescribeTrainingJob shows and moto does not keep, with moto's kind of names.
_DROPPED: Final = {
    "Environment": "environment",
    "ProfilerConfig": "profiler_config",
    "ProfilerRuleConfigurations": "profiler_rule_configurations",
    "RetryStrategy": "retry_strategy",
}


class JobStates:
    """Writes what a real service would write, where `describe_*` finds it."""

    def __init__(self, *, account: str, region: str) -> None:
        self._backend = sagemaker_backends[account][region]

    def complete_processing(self, name: str, **fields: Any) -> None:
        """Sets fields of a processing job, in snake case, that moto has no value for."""
        _update(self._backend.processing_jobs[name], fields)

    def complete_training(self, name: str, request: Mapping[str, Any], **fields: Any) -> None:
        """Sets fields of a training job that moto drops from the request, and removes those that it makes up."""
        job = self._backend.training_jobs[name]
        job.algorithm_specification = dict(request["AlgorithmSpecification"])
        dropped = {attribute: request[field] for field, attribute in _DROPPED.items() if field in request}
        _update(job, {"final_metric_data_list": [], "secondary_status_transitions": []} | dropped | fields)

    def training_metrics(self, name: str, final: Mapping[str, float]) -> None:
        """Sets the last values of a training job's metrics."""
        values = [{"MetricName": key, "Value": value, "Timestamp": _now()} for key, value in final.items()]
        _update(self._backend.training_jobs[name], {"final_metric_data_list": values})

    def processing(self, name: str, *, status: str, failure_reason: str | None = None) -> None:
        """Sets the state of a processing job."""
        ended = None if status == _RUNNING else _now()
        _update(
            self._backend.processing_jobs[name],
            {"processing_job_status": status, "failure_reason": failure_reason, "processing_end_time": ended},
        )

    def training(self, name: str, *, status: str, failure_reason: str | None = None) -> None:
        """Sets the state of a training job."""
        ended = None if status == _RUNNING else _now()
        _update(
            self._backend.training_jobs[name],
            {
                "training_job_status": status,
                "secondary_status": _SECONDARY.get(status, status),
                "failure_reason": failure_reason,
                "training_end_time": ended,
            },
        )

    def transform(self, name: str, *, status: str, failure_reason: str | None = None) -> None:
        """Sets the state of a transform job."""
        ended = None if status == _RUNNING else _now()
        _update(
            self._backend.transform_jobs[name],
            {
                "transform_job_status": status,
                "failure_reason": failure_reason,
                "transform_end_time": ended,
                # moto has empty texts for them, which the service leaves out.
                "labeling_job_arn": None,
                "auto_ml_job_arn": None,
            },
        )

    def execution(self, arn: str, *, status: str, failure_reason: str | None, steps: list[dict[str, Any]]) -> None:
        """Sets the state of a pipeline execution and of its steps, in order of their start."""
        _update(
            _execution(self._backend, arn),
            {
                "pipeline_execution_status": status,
                "pipeline_execution_failure_reason": failure_reason,
                "steps": steps,
            },
        )


def _update(item: Any, fields: dict[str, Any]) -> None:
    item.last_modified_time = _now()
    for name, value in fields.items():
        setattr(item, name, value)


def _now() -> datetime:
    return datetime.now(timezone.utc)


@contextmanager
def completed_actions() -> Iterator[None]:
    """While open, moto lists the steps of an execution, tells why it failed, and lists executions in order."""
    describe, list_all = (
        SageMakerModelBackend.describe_pipeline_execution,
        SageMakerResponse.list_pipeline_executions,
    )

    def describe_with_reason(self: SageMakerModelBackend, pipeline_execution_arn: str) -> dict[str, Any]:
        answer: dict[str, Any] = describe(self, pipeline_execution_arn)
        reason = _execution(self, pipeline_execution_arn).pipeline_execution_failure_reason
        answer.pop("FailureReason")
        return answer | ({"FailureReason": reason} if reason else {})

    def list_in_order(self: SageMakerResponse) -> ActionResult:
        answer = self.sagemaker_backend.list_pipeline_executions(self._get_param("PipelineName"))
        listed = answer["PipelineExecutionSummaries"]  # in order of their start
        return ActionResult({"PipelineExecutionSummaries": _ordered(self, listed)})

    def list_steps(self: SageMakerResponse) -> ActionResult:
        execution = _execution(self.sagemaker_backend, self._get_param("PipelineExecutionArn"))
        return ActionResult({"PipelineExecutionSteps": _ordered(self, list(getattr(execution, "steps", [])))})

    SageMakerModelBackend.describe_pipeline_execution = describe_with_reason
    SageMakerResponse.list_pipeline_executions = list_in_order
    SageMakerResponse.list_pipeline_execution_steps = list_steps
    try:
        yield
    finally:
        SageMakerModelBackend.describe_pipeline_execution = describe
        SageMakerResponse.list_pipeline_executions = list_all
        del SageMakerResponse.list_pipeline_execution_steps


def _ordered(request: SageMakerResponse, items: list[Any]) -> list[Any]:
    return items if request._get_param("SortOrder", "Descending") == "Ascending" else items[::-1]


def _execution(backend: SageMakerModelBackend, arn: str) -> Any:
    return next(item.pipeline_executions[arn] for item in backend.pipelines.values() if arn in item.pipeline_executions)
