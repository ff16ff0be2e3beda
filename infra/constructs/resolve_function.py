"""The Lambda function behind the pipeline's Resolve step."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.settings import EnvironmentSettings


class ResolveFunction(Construct):
    """Lists the input images; it may list `data_prefix` of the bucket named `data_bucket` and read nothing."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        data_prefix: str,
    ) -> None:
        super().__init__(scope, construct_id)
        resolve = PythonFunction(
            self,
            "Resolve",
            settings=settings,
            folder="resolve",
            name="resolve",
            description="Hashes the listing of the input images, so that step caching sees every change",
            # A listing takes about 0.1 s per 1,000 objects; the pipeline's Lambda step itself waits 10 minutes.
            timeout=cdk.Duration.minutes(10),
        )
        resolve.role.add_to_policy(
            iam.PolicyStatement(
                sid="ListInput",
                actions=["s3:ListBucket"],
                resources=[f"arn:{cdk.Stack.of(self).partition}:s3:::{data_bucket}"],
                conditions={"StringLike": {"s3:prefix": f"{data_prefix}/*"}},
            )
        )
        self.function: lambda_.IFunction = resolve.function
