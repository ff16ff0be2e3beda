"""The Lambda function behind the CheckBase step of the pipeline `retrain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class CheckBaseFunction(Construct):
    """Reads what lies beside a base model, and the classes of a data set.

    `readable` maps a bucket's name to the prefixes, without slashes at their ends, that it may list and read.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        readable: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__(scope, construct_id)
        self._check = PythonFunction(
            self,
            "CheckBase",
            settings=settings,
            folder="check_base",
            name="check-base",
            description="Compares a base model's classes, network and image size with what is about to be trained",
            timeout=cdk.Duration.minutes(1),
        )
        for number, (bucket, prefixes) in enumerate(readable.items(), start=1):
            self._allow_reading(bucket, prefixes, number=number)
        self.function: lambda_.IFunction = self._check.function

    def _allow_reading(self, bucket: str, prefixes: Sequence[str], *, number: int) -> None:
        arn = f"arn:{cdk.Stack.of(self).partition}:s3:::{bucket}"
        objects = [f"{arn}/{prefix}/*" for prefix in prefixes]
        for resource in objects:
            acknowledge_wildcard(
                self._check.role, resource, reason="A person names the base model; it may be any below this prefix."
            )
        self._check.role.add_to_policy(
            iam.PolicyStatement(sid=f"ReadModels{number}", actions=["s3:GetObject"], resources=objects)
        )
        # Without a listing S3 answers that access is denied where an object is only missing.
        self._check.role.add_to_policy(
            iam.PolicyStatement(
                sid=f"ListModels{number}",
                actions=["s3:ListBucket"],
                resources=[arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}},
            )
        )
