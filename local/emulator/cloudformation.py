"""Resource types that moto's CloudFormation lacks, and the refusal of any that nobody models."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.sagemaker.models import sagemaker_backends

from local.errors import LocalRunError


class _Model(CloudFormationModel):  # type: ignore[misc]  # moto comes without types here
    """A resource known by its physical id; subclasses say how it is created."""

    type_name: str = ""  # of a subclass; moto lists this base class among its models
    name_property: str | None = None

    def __init__(self, physical_resource_id: str, attributes: dict[str, str] | None = None) -> None:
        self._id = physical_resource_id
        self._attributes = attributes or {}

    @property
    def physical_resource_id(self) -> str:
        return self._id

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.type_name

    @classmethod
    def cloudformation_name_type(cls) -> str | None:
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self._attributes[attribute_name]

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> _Model:
        return cls.create(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> _Model:
        return cls.create(new_resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        cls.delete(resource_name, account_id, region_name)

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> _Model:
        raise NotImplementedError

    @classmethod
    def delete(cls, name: str, account: str, region: str) -> None:
        """Most of these need nothing done."""


class Pipeline(_Model):
    """AWS::SageMaker::Pipeline."""

    type_name = "AWS::SageMaker::Pipeline"
    name_property = "PipelineName"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> _Model:
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


class ModelPackageGroup(_Model):
    """AWS::SageMaker::ModelPackageGroup."""

    type_name = "AWS::SageMaker::ModelPackageGroup"
    name_property = "ModelPackageGroupName"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> _Model:
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


class BucketPolicy(_Model):
    """AWS::S3::BucketPolicy; created but not enforced, for moto takes no notice of conditions and would deny all."""

    type_name = "AWS::S3::BucketPolicy"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> _Model:
        return cls(properties["Bucket"])


class NothingToCreate(_Model):
    """A custom resource of ours or the CDK's that acts on deletion only, and answers creation with success."""

    type_name = "Custom::ActsOnDeletionOnly"
    types = frozenset({"Custom::S3AutoDeleteObjects", "Custom::ModelPackageVersions"})

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> _Model:
        return cls(name)


_ADDED = (Pipeline, ModelPackageGroup, BucketPolicy)
# Types that only inform the CDK and create nothing.
_INERT = frozenset({"AWS::CDK::Metadata"})


@contextmanager
def completed_types() -> Iterator[None]:
    """While open, moto's CloudFormation knows the added types and refuses what it does not model."""
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
        with warnings.catch_warnings():
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
