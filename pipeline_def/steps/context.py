"""What all step builders share: session, settings, parameters, caching, retries and where outputs go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig

from pipeline_def.parameters import PipelineParameters, TransformPipelineParameters
from pipeline_def.placeholders import ARTIFACT_BUCKET, placeholder
from pipeline_def.settings import PipelineSettings

EXECUTIONS_PREFIX: Final = "executions"  # expires by a lifecycle rule
MODELS_PREFIX: Final = "models"  # never expires: registered versions point here


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Shared by the builders of one definition, whichever parameters it has."""

    session: PipelineSession
    region: str
    settings: PipelineSettings

    def cache(self) -> CacheConfig:
        """Caching of a step whose arguments name all that its result depends on."""
        days = self.settings.cache_days
        return CacheConfig(enable_caching=days > 0, expire_after=f"P{days}D" if days else None)

    def output(self, *path: str, prefix: str = EXECUTIONS_PREFIX) -> PipelineVariable:
        """An S3 URI below this execution's own prefix, so that concurrent executions never share a key."""
        root = f"s3://{placeholder(ARTIFACT_BUCKET)}/{prefix}"
        return Join(on="/", values=[root, ExecutionVariables.PIPELINE_EXECUTION_ID, *path])


@dataclass(frozen=True, kw_only=True)
class Context(Shared):
    """Of a pipeline that ends with a registered model."""

    parameters: PipelineParameters


@dataclass(frozen=True, kw_only=True)
class TransformContext(Shared):
    """Of the pipeline that uses one."""

    parameters: TransformPipelineParameters


def service_retries() -> list[RetryPolicy]:
    """Retries of a call that the service throttled or failed by itself."""
    return [
        StepRetryPolicy(
            exception_types=[StepExceptionTypeEnum.THROTTLING, StepExceptionTypeEnum.SERVICE_FAULT],
            interval_seconds=10,
            backoff_rate=2.0,
            max_attempts=5,
        )
    ]


def job_retries() -> list[RetryPolicy]:
    """Retries of a job: as `service_retries`, and longer where the region has no free instance or quota just now."""
    return [
        *service_retries(),
        SageMakerJobStepRetryPolicy(
            exception_types=[
                SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
                SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT,
            ],
            interval_seconds=120,
            backoff_rate=2.0,
            max_attempts=5,
        ),
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
            interval_seconds=30,
            backoff_rate=2.0,
            max_attempts=2,
        ),
    ]
