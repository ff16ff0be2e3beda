"""How SageMaker Pipelines names the jobs of its steps, as patterns for policies.

A job is `pipelines-<execution>-<step>-<random>`. A tuning job's name has at most 32 characters
(HyperParameterTuningJobName in the API reference), into which that form does not fit, so the service leaves the prefix
out: `<execution>-Tune-<random>`. The training jobs that a tuning job starts are named after it, with a number and a
hash behind. In ARNs the service has written names in lower case too, and policies tell the cases apart.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

STEP_JOBS: Final = "pipelines-*"
TUNING_JOBS: Final = (STEP_JOBS, "*-Tune-*", "*-tune-*")
NAMED_BY_SERVICE: Final = "The service names the jobs of a pipeline's steps pipelines-<execution>-<step>-<random>."
NAMED_AFTER_TUNING: Final = (
    "The service names a tuning job <execution>-Tune-<random>, and its training jobs and their records after it."
)


def sagemaker_arns(scope: IConstruct, resource: str, *names: str) -> list[str]:
    """ARNs of SageMaker resources of one type, such as training-job, in the stack's account and region."""
    stack = cdk.Stack.of(scope)
    return [stack.format_arn(service="sagemaker", resource=resource, resource_name=name) for name in names]
