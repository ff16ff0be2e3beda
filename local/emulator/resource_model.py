"""What every resource type that the emulator adds to moto's CloudFormation has in common."""

from __future__ import annotations

from typing import Any

from moto.core.common_models import CloudFormationModel


class Model(CloudFormationModel):  # type: ignore[misc]  # moto comes without types here
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
    ) -> Model:
        return cls.create(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Model:
        return cls.create(new_resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        cls.delete(resource_name, account_id, region_name)

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        raise NotImplementedError

    @classmethod
    def delete(cls, name: str, account: str, region: str) -> None:
        """Most of these need nothing done."""
