"""The training stack: the pipeline, and what it needs to run and to register models."""

from __future__ import annotations

import re
from pathlib import Path

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.container_images import ContainerImages
from infra.constructs.execution_role import ExecutionRole, Grants
from infra.constructs.model_group import ModelGroup
from infra.constructs.pipeline import Pipeline
from infra.constructs.resolve_function import ResolveFunction
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack
from pipeline_def import placeholders

_ECR_IMAGE = re.compile(r"\b(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9._/-]+)")


class TrainingStack(EnvironmentStack):
    """Execution role, images, model package group, Resolve function and pipeline; buckets are given by their names."""

    def __init__(
        self,
        scope: Construct,
        stack_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        artifact_bucket: str,
        processing: Path,
        definition: str,
    ) -> None:
        super().__init__(scope, stack_id, settings=settings, description=f"{settings.prefix}: the training pipeline")
        data_prefix = settings.pipeline.input_prefix.split("/", maxsplit=1)[0]
        images = ContainerImages(self, "Images", processing=processing)
        self.model_group = ModelGroup(self, "Models", settings=settings)
        resolve = ResolveFunction(
            self, "Resolve", settings=settings, data_bucket=data_bucket, data_prefix=data_prefix
        ).function
        grants = Grants(
            data_bucket=data_bucket,
            data_prefix=data_prefix,
            artifact_bucket=artifact_bucket,
            repository_arns=[images.imaging.repository.repository_arn, *self._service_repositories(definition)],
            model_group=self.model_group,
            resolve_function=resolve,
        )
        self.role = ExecutionRole(self, "Execution", grants=grants).role
        self.pipeline = Pipeline(
            self,
            "Training",
            settings=settings,
            definition=definition,
            values={
                placeholders.DATA_BUCKET: data_bucket,
                placeholders.ARTIFACT_BUCKET: artifact_bucket,
                placeholders.EXECUTION_ROLE_ARN: self.role.role_arn,
                placeholders.RESOLVE_FUNCTION_ARN: resolve.function_arn,
                placeholders.IMAGING_IMAGE_URI: images.imaging.image_uri,
                placeholders.MXNET_IMAGE_URI: images.mxnet.image_uri,
                placeholders.MODEL_PACKAGE_GROUP_NAME: self.model_group.group_name,
            },
            role=self.role,
        ).pipeline
        self.pipeline.node.add_dependency(self.model_group)
        self._output("PipelineName", self.pipeline.ref)
        self._output("DataBucketName", data_bucket)
        self._output("ArtifactBucketName", artifact_bucket)
        self._output("ModelPackageGroupName", self.model_group.group_name)
        self._output("ExecutionRoleArn", self.role.role_arn)
        self._output("DatasetUri", f"s3://{data_bucket}/{settings.pipeline.input_prefix}/")

    def _service_repositories(self, definition: str) -> list[str]:
        """ARNs of the repositories of AWS's own images, as the definition names them."""
        return [
            self.format_arn(service="ecr", account=account, region=region, resource="repository", resource_name=name)
            for account, region, name in sorted(set(_ECR_IMAGE.findall(definition)))
        ]

    def _output(self, name: str, value: str) -> None:
        cdk.CfnOutput(self, name, value=value)
