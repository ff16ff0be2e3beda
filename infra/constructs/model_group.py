"""The model package group, and what becomes of its versions when the stack goes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class ModelGroup(Construct):
    """Group `<prefix>`: retained (and adopted again by `make adopt`), or purged.

    Make what registers versions depend on this construct: a deletion goes the other way round, so the pipeline goes
    first, then all versions, then the group, which CloudFormation cannot delete while it has any.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings) -> None:
        super().__init__(scope, construct_id)
        self.group_name = settings.prefix
        self.group = sagemaker.CfnModelPackageGroup(
            self,
            "Group",
            model_package_group_name=self.group_name,
            model_package_group_description=f"Image classification models of {settings.prefix}",
        )
        if settings.retain_on_destroy:
            self.group.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        else:
            self._build_purge(settings)

    def group_arn(self) -> str:
        """ARN of the group."""
        return self._arn("model-package-group", self.group_name)

    def versions_arn(self) -> str:
        """ARN pattern of all versions in the group."""
        return self._arn("model-package", f"{self.group_name}/*")

    def _arn(self, resource: str, name: str) -> str:
        return cdk.Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=name)

    def _build_purge(self, settings: EnvironmentSettings) -> None:
        purge = PythonFunction(
            self,
            "Purge",
            settings=settings,
            folder="purge_model_packages",
            name="purge-models",
            description="Removes all versions of the model package group when its stack is deleted",
            timeout=cdk.Duration.minutes(15),
        )
        for statement in self._purge_statements():
            purge.role.add_to_policy(statement)
        acknowledge_wildcard(
            purge.role,
            self.versions_arn(),
            reason="Deletes every version of this one group; the service numbers them, so none is known beforehand.",
        )
        versions = cdk.CustomResource(
            self,
            "Versions",
            resource_type="Custom::ModelPackageVersions",
            service_token=purge.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={"ModelPackageGroupName": self.group_name},
        )
        versions.node.add_dependency(self.group)

    def _purge_statements(self) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        return [
            iam.PolicyStatement(
                sid="PurgeVersions",
                actions=["sagemaker:ListModelPackages", "sagemaker:DeleteModelPackage"],
                resources=[self.versions_arn()],
            ),
            iam.PolicyStatement(
                sid="FindGroup", actions=["sagemaker:DescribeModelPackageGroup"], resources=[self.group_arn()]
            ),
            iam.PolicyStatement(
                sid="SeeWhetherTheStackGoes", actions=["cloudformation:DescribeStacks"], resources=[stack.stack_id]
            ),
        ]
