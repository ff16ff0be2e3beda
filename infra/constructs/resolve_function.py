"""The Lambda function behind the pipelines' Resolve step."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.model_group import ModelGroup
from infra.constructs.python_function import PythonFunction
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class ResolveFunction(Construct):
    """Lists the input images below `data_prefix` of the bucket named `data_bucket`, and finds the approved versions.

    It reads no object, and writes one: the marker that there is no champion.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        data_prefix: str,
        artifact_bucket: str,
        model_group: ModelGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        resolve = PythonFunction(
            self,
            "Resolve",
            settings=settings,
            folder="resolve",
            name="resolve",
            description="Hashes the listing of the input images, so that caching sees changes; finds approved models",
            # A listing takes about 0.1 s per 1,000 objects; the pipeline's Lambda step itself waits 10 minutes.
            timeout=cdk.Duration.minutes(10),
            environment={"MODEL_PACKAGE_GROUP_NAME": model_group.group_name, "ARTIFACT_BUCKET": artifact_bucket},
        )
        bucket = f"arn:{cdk.Stack.of(self).partition}:s3:::"
        for statement in (
            iam.PolicyStatement(
                sid="ListInput",
                actions=["s3:ListBucket"],
                resources=[f"{bucket}{data_bucket}"],
                conditions={"StringLike": {"s3:prefix": f"{data_prefix}/*"}},
            ),
            iam.PolicyStatement(
                sid="FindApprovedModels",
                actions=["sagemaker:ListModelPackages", "sagemaker:DescribeModelPackage"],
                resources=[model_group.versions_arn()],
            ),
            iam.PolicyStatement(
                sid="SayThatThereIsNoChampion",
                actions=["s3:PutObject"],
                resources=[f"{bucket}{artifact_bucket}/models/no-champion/champion.json"],
            ),
        ):
            resolve.role.add_to_policy(statement)
        acknowledge_wildcard(
            resolve.role,
            model_group.versions_arn(),
            reason="Looks for the newest approved version of this one group; the service numbers the versions.",
        )
        self.function: lambda_.IFunction = resolve.function
