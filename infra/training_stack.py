"""The training stack: the pipelines, and what they need to run and to register models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.constructs.check_base_function import CheckBaseFunction
from infra.constructs.container_images import ContainerImages
from infra.constructs.execution_role import ExecutionRole, Grants
from infra.constructs.list_trials_function import ListTrialsFunction
from infra.constructs.model_group import ModelGroup
from infra.constructs.pipeline import Pipeline
from infra.constructs.plan_transform_function import PlanTransformFunction
from infra.constructs.resolve_function import ResolveFunction
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack
from pipeline_def import placeholders
from pipeline_def.settings import REGISTERING_PIPELINES

_ECR_IMAGE = re.compile(r"\b(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9._/-]+)")
_PRETRAINED_PREFIX = "pretrained"
_DESCRIPTIONS = {
    "train": "Image classification: folder of labelled images to registered model",
    "tune": "Image classification: search for hyperparameters, whose best model is registered",
    "retrain": "Image classification: an earlier model trained on with the images that there are now",
    "transform": "Image classification: an approved model classifies the images of a prefix",
}


@dataclass(frozen=True)
class _Functions:
    """The functions behind the Lambda steps."""

    resolve: lambda_.IFunction
    check_base: lambda_.IFunction
    list_trials: lambda_.IFunction
    plan_transform: lambda_.IFunction


class TrainingStack(EnvironmentStack):
    """Execution role, images, model package group, functions and pipelines; buckets are given by their names.

    `definitions` maps each pipeline to its definition.
    """

    def __init__(
        self,
        scope: Construct,
        stack_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        artifact_bucket: str,
        processing: Path,
        definitions: Mapping[str, str],
    ) -> None:
        super().__init__(scope, stack_id, settings=settings, description=f"{settings.prefix}: the training pipelines")
        self._settings, self._data_bucket, self._artifact_bucket = settings, data_bucket, artifact_bucket
        # An execution's start may name any data set, weights and images to classify below the same first folders.
        folders = (settings.pipeline.input_prefix, settings.pipeline.transform.input_prefix)
        self._image_prefixes = tuple(dict.fromkeys(folder.split("/", maxsplit=1)[0] for folder in folders))
        self._data_prefixes = tuple(dict.fromkeys((*self._image_prefixes, _PRETRAINED_PREFIX)))
        images = ContainerImages(self, "Images", processing=processing, with_gpu=settings.pipeline.train.on_gpu_trainer)
        self.model_group = ModelGroup(self, "Models", settings=settings)
        functions = self._build_functions()
        repositories = [images.repository_arn, *self._service_repositories(definitions)]
        self.role = ExecutionRole(self, "Execution", grants=self._grants(functions, repositories)).role
        self.pipelines = self._build_pipelines(definitions, self._values(images, functions))
        self._build_outputs()

    def _build_functions(self) -> _Functions:
        settings, artifacts = self._settings, self._artifact_bucket
        resolve = ResolveFunction(
            self,
            "Resolve",
            settings=settings,
            data_bucket=self._data_bucket,
            data_prefix=self._data_prefixes[0],
            artifact_bucket=artifacts,
            model_group=self.model_group,
        )
        check_base = CheckBaseFunction(
            self,
            "CheckBase",
            settings=settings,
            readable={
                artifacts: ("executions", "models"),
                self._data_bucket: (self._image_prefixes[0], _PRETRAINED_PREFIX),
            },
        )
        list_trials = ListTrialsFunction(self, "ListTrials", settings=settings, artifact_bucket=artifacts)
        plan_transform = PlanTransformFunction(
            self,
            "PlanTransform",
            settings=settings,
            data_bucket=self._data_bucket,
            data_prefixes=self._image_prefixes,
            artifact_bucket=artifacts,
            model_group=self.model_group,
        )
        return _Functions(resolve.function, check_base.function, list_trials.function, plan_transform.function)

    def _grants(self, functions: _Functions, repository_arns: list[str]) -> Grants:
        pipeline = self._settings.pipeline
        names = [self._settings.pipeline_name(name) for name in REGISTERING_PIPELINES]
        return Grants(
            data_bucket=self._data_bucket,
            data_prefixes=self._data_prefixes,
            artifact_bucket=self._artifact_bucket,
            pretrained_uri=pipeline.train.pretrained_model_uri,
            repository_arns=repository_arns,
            model_group=self.model_group,
            functions=(functions.resolve, functions.check_base, functions.list_trials, functions.plan_transform),
            # An experiment has the name of its pipeline.
            experiments=names if pipeline.experiments else (),
            tracking_server_arn=pipeline.tracking_server_arn,
        )

    def _values(self, images: ContainerImages, functions: _Functions) -> dict[str, str]:
        """A value for each placeholder that some definition holds."""
        gpu = {placeholders.MXNET_GPU_IMAGE_URI: images.mxnet_gpu.image_uri} if images.mxnet_gpu else {}
        return gpu | {
            placeholders.DATA_BUCKET: self._data_bucket,
            placeholders.ARTIFACT_BUCKET: self._artifact_bucket,
            placeholders.EXECUTION_ROLE_ARN: self.role.role_arn,
            placeholders.RESOLVE_FUNCTION_ARN: functions.resolve.function_arn,
            placeholders.CHECK_BASE_FUNCTION_ARN: functions.check_base.function_arn,
            placeholders.LIST_TRIALS_FUNCTION_ARN: functions.list_trials.function_arn,
            placeholders.PLAN_TRANSFORM_FUNCTION_ARN: functions.plan_transform.function_arn,
            placeholders.IMAGING_IMAGE_URI: images.imaging.image_uri,
            placeholders.MXNET_IMAGE_URI: images.mxnet.image_uri,
            placeholders.SERVE_IMAGE_URI: images.serve.image_uri,
            placeholders.MODEL_PACKAGE_GROUP_NAME: self.model_group.group_name,
        }

    def _build_pipelines(
        self, definitions: Mapping[str, str], values: Mapping[str, str]
    ) -> dict[str, sagemaker.CfnPipeline]:
        unused = values.keys() - frozenset().union(*map(placeholders.find, definitions.values()))
        if unused:
            raise ValueError(f"pipeline definitions: no definition uses the values {sorted(unused)}")
        pipelines = {}
        for name, definition in definitions.items():
            pipelines[name] = Pipeline(
                self,
                name.capitalize(),
                settings=self._settings,
                name=name,
                description=_DESCRIPTIONS[name],
                definition=definition,
                values=values,
                role=self.role,
            ).pipeline
            pipelines[name].node.add_dependency(self.model_group)
        return pipelines

    def _service_repositories(self, definitions: Mapping[str, str]) -> list[str]:
        """ARNs of the repositories of AWS's own images, as the definitions name them."""
        images = {image for definition in definitions.values() for image in _ECR_IMAGE.findall(definition)}
        return [
            self.format_arn(service="ecr", account=account, region=region, resource="repository", resource_name=name)
            for account, region, name in sorted(images)
        ]

    def _build_outputs(self) -> None:
        for name, pipeline in self.pipelines.items():
            self._output(f"{name.capitalize()}PipelineName", pipeline.ref)
        self._output("DataBucketName", self._data_bucket)
        self._output("ArtifactBucketName", self._artifact_bucket)
        self._output("ModelPackageGroupName", self.model_group.group_name)
        self._output("ExecutionRoleArn", self.role.role_arn)
        self._output("BatchUri", f"s3://{self._data_bucket}/{self._settings.pipeline.transform.input_prefix}/")
        self._output("DatasetUri", f"s3://{self._data_bucket}/{self._settings.pipeline.input_prefix}/")

    def _output(self, name: str, value: str) -> None:
        cdk.CfnOutput(self, name, value=value)
