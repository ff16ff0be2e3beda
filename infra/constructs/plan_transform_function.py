"""The Lambda function behind the Plan step of the pipeline `transform`."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.model_group import ModelGroup
from infra.constructs.python_function import PythonFunction
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class PlanTransformFunction(Construct):
    """Lists images below `data_prefixes` of the bucket named `data_bucket`, and finds approved versions.

    It reads no object, and writes its plan below executions/ of the artifact bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        data_prefixes: Sequence[str],
        artifact_bucket: str,
        model_group: ModelGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        plan = PythonFunction(
            self,
            "Plan",
            settings=settings,
            folder="plan_transform",
            name="plan-transform",
            description="Lists the images to classify and finds the approved model version that does it",
            # A listing takes about 0.1 s per 1,000 objects; the pipeline's Lambda step itself waits 10 minutes.
            timeout=cdk.Duration.minutes(10),
            environment={"MODEL_PACKAGE_GROUP_NAME": model_group.group_name},
        )
        bucket = f"arn:{cdk.Stack.of(self).partition}:s3:::"
        output, versions = f"{bucket}{artifact_bucket}/executions/*/plan/*", model_group.versions_arn()
        acknowledge_wildcard(plan.role, output, reason="The plan lies under the id of its execution.")
        acknowledge_wildcard(plan.role, versions, reason="Looks through this one group; the service numbers versions.")
        below = {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in data_prefixes]}}
        find = ["sagemaker:ListModelPackages", "sagemaker:DescribeModelPackage"]
        for statement in (
            allow("ListInput", ["s3:ListBucket"], [f"{bucket}{data_bucket}"], below),
            allow("FindVersions", find, [versions]),
            allow("WritePlan", ["s3:PutObject"], [output]),
        ):
            plan.role.add_to_policy(statement)
        self.function: lambda_.IFunction = plan.function
