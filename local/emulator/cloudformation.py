"""Resource types that moto's CloudFormation lacks, and the refusal of any that nobody models."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import Stack
from moto.sagemaker.models import sagemaker_backends

from local.emulator import guard_types
from local.emulator.replaced import replaced
from local.emulator.resource_model import Model
from local.errors import LocalRunError


class Pipeline(Model):
    """AWS::SageMaker::Pipeline."""

    type_name = "AWS::SageMaker::Pipeline"
    name_property = "PipelineName"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        backend = sagemaker_backends[account][region]
        definition = properties["PipelineDefinition"]["PipelineDefinitionBody"]
        json.loads(definition)  # the service refuses text that does not parse; so does this stack
        values = {
            "pipeline_display_name": properties.get("PipelineDisplayName", name),
            "pipeline_definition": definition,
            "pipeline_description": properties.get("PipelineDescription", ""),
            "role_arn": properties["RoleArn"],
            "parallelism_configuration": properties.get("ParallelismConfiguration", {}),
        }
        if name in backend.pipelines:
            backend.update_pipeline(name, **values)
        else:
            tags = properties.get("Tags", [])
            backend.create_pipeline(name, tags=tags, pipeline_definition_s3_location={}, **values)
        return cls(name)

    @classmethod
    def delete(cls, name: str, account: str, region: str) -> None:
        sagemaker_backends[account][region].delete_pipeline(name)


class ModelPackageGroup(Model):
    """AWS::SageMaker::ModelPackageGroup."""

    type_name = "AWS::SageMaker::ModelPackageGroup"
    name_property = "ModelPackageGroupName"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        backend = sagemaker_backends[account][region]
        description = properties.get("ModelPackageGroupDescription", "")
        if name in backend.model_package_groups:
            arn = backend.model_package_groups[name].arn
            backend.model_package_groups[name].model_package_group_description = description
        else:
            arn = backend.create_model_package_group(name, description, properties.get("Tags", []))
        return cls(arn, {"ModelPackageGroupArn": arn})

    @classmethod
    def delete(cls, name: str, account: str, region: str) -> None:
        del sagemaker_backends[account][region].model_package_groups[name.rsplit("/", 1)[-1]]


class BucketPolicy(Model):
    """AWS::S3::BucketPolicy; created but not enforced, for moto takes no notice of conditions and would deny all."""

    type_name = "AWS::S3::BucketPolicy"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        return cls(properties["Bucket"])


class NothingToCreate(Model):
    """A custom resource of ours or the CDK's that acts on updates and deletion, and answers creation with success."""

    type_name = "Custom::ActsOnDeletionOnly"
    types = frozenset({"Custom::S3AutoDeleteObjects", "Custom::ModelPackageVersions", "Custom::Endpoint"})

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        return cls(name)


_ADDED = (Pipeline, ModelPackageGroup, BucketPolicy, *guard_types.ADDED)
# Types that only inform the CDK and create nothing.
_INERT = frozenset({"AWS::CDK::Metadata"})


@contextmanager
def completed_types() -> Iterator[None]:
    """While open, moto's CloudFormation knows the added types and refuses what it does not model; templates are JSON.

    moto reads every template as YAML first, which takes seconds for those that the CDK writes.
    """
    original = parsing.resource_class_from_type
    added = {model.type_name: model for model in _ADDED} | dict.fromkeys(NothingToCreate.types, NothingToCreate)

    def resource_class(resource_type: str) -> Any:
        return added.get(resource_type) or original(resource_type)

    original_name = parsing.resource_name_property_from_type

    def name_property(resource_type: str) -> str | None:
        return added[resource_type].name_property if resource_type in added else original_name(resource_type)

    parsing.resource_class_from_type = resource_class
    parsing.resource_name_property_from_type = name_property
    try:
        with warnings.catch_warnings(), replaced(Stack, parse_template=staticmethod(json.loads)):
            warnings.filterwarnings("ignore", message="Tried to parse AWS::CDK::Metadata")
            yield
    finally:
        parsing.resource_class_from_type = original
        parsing.resource_name_property_from_type = original_name


def refuse_unknown_types(stack_name: str, template: dict[str, Any]) -> None:
    """Raises LocalRunError naming the first resource that the emulator would silently leave out."""
    known = set(parsing.get_model_map()) | {model.type_name for model in _ADDED} | NothingToCreate.types | _INERT
    for logical_id, resource in template.get("Resources", {}).items():
        if resource["Type"] not in known:
            raise LocalRunError(
                f"stack {stack_name}: {logical_id} is a {resource['Type']}, which the local emulator does not know: "
                "add it to local/emulator/cloudformation.py"
            )
