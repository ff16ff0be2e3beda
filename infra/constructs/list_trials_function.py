"""The Lambda function behind the Trials step of the pipeline `tune`."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.job_names import NAMED_AFTER_TUNING, TUNING_JOBS, sagemaker_arns
from infra.constructs.python_function import PythonFunction
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class ListTrialsFunction(Construct):
    """Reads the tuning jobs of pipelines, and writes trials.json below executions/ of the artifact bucket."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, artifact_bucket: str
    ) -> None:
        super().__init__(scope, construct_id)
        trials = PythonFunction(
            self,
            "ListTrials",
            settings=settings,
            folder="list_trials",
            name="list-trials",
            description="Writes the training jobs of a tuning job to trials.json",
            # 750 training jobs at most, 100 in a page, and patience where the service throttles.
            timeout=cdk.Duration.minutes(5),
        )
        jobs = sagemaker_arns(self, "hyper-parameter-tuning-job", *TUNING_JOBS)
        output = f"arn:{cdk.Stack.of(self).partition}:s3:::{artifact_bucket}/executions/*/trials.json"
        for resource in jobs:
            acknowledge_wildcard(trials.role, resource, reason=NAMED_AFTER_TUNING)
        acknowledge_wildcard(
            trials.role, output, reason="The file lies under the id of its execution, which the service makes up."
        )
        for statement in (
            iam.PolicyStatement(
                sid="ReadTuningJobs",
                actions=[
                    "sagemaker:DescribeHyperParameterTuningJob",
                    "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
                ],
                resources=jobs,
            ),
            iam.PolicyStatement(sid="WriteTrials", actions=["s3:PutObject"], resources=[output]),
        ):
            trials.role.add_to_policy(statement)
        self.function: lambda_.IFunction = trials.function
