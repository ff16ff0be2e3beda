"""Model packages of the emulated account: what an update keeps, their events, versions that were registered before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from local.emulator.replaced import replaced

_KEPT: Final = ("customer_metadata_properties", "approval_description")
# Of UpdateModelPackage: what says which request it is, and what the event calls otherwise.
_NO_FIELDS: Final = ("ModelPackageArn", "ClientToken")
_FIELDS: Final = {
    "CustomerMetadataPropertiesToRemove": "CustomerMetadataProperties",
    "AdditionalInferenceSpecificationsToAdd": "AdditionalInferenceSpecifications",
    "SourceUri": "sourceUri",
}
_update: Final = SageMakerModelBackend.update_model_package


class ModelPackages:
    """Brings versions back that an earlier account had."""

    def __init__(self, *, account: str, region: str) -> None:
        self._backend = sagemaker_backends[account][region]

    def restored(self, arn: str, *, created: datetime, approval_status: str) -> None:
        """Gives a version that was just created anew the state that it had; the versions before it must be there."""
        package = self._backend.model_packages[arn]
        package.creation_time = created.astimezone(timezone.utc).replace(tzinfo=None)  # as moto has all of them
        package.set_model_approval_status(approval_status)

    def known(self, arn: str) -> bool:
        """Whether the account has a version."""
        return arn in self._backend.model_packages


@contextmanager
def completed_packages(emit: Callable[..., None]) -> Iterator[None]:
    """While open, UpdateModelPackage leaves alone what a request does not name; moto would drop it.

    Every registration of a version, and every update, is followed by the service's event, which `emit` takes.
    """
    with replaced(SageMakerModelBackend, update_model_package=_update_named), _events(emit):
        yield


def _update_named(self: SageMakerModelBackend, model_package_arn: str, **fields: Any) -> str:
    package = self.model_packages.get(model_package_arn)
    kept = {} if package is None else {name: getattr(package, name) for name in _KEPT}
    status = None if package is None else package.model_approval_status
    if fields.get("customer_metadata_properties") and kept:
        fields["customer_metadata_properties"] = _merged(kept, fields)
    arn: str = _update(self, model_package_arn=model_package_arn, **(fields | _missing(kept, fields)))
    if fields.get("model_approval_status") is None and status is not None:
        self.model_packages[arn].set_model_approval_status(status)
    return arn


@contextmanager
def _events(emit: Callable[..., None]) -> Iterator[None]:
    """At the requests, because moto's registry is not handed all of their fields."""
    create, update = SageMakerResponse.create_model_package, SageMakerResponse.update_model_package

    def created(self: Any) -> Any:
        answer = create(self)
        _tell(self.sagemaker_backend.model_packages[answer.result["ModelPackageArn"]], emit)
        return answer

    def updated(self: Any) -> Any:
        answer = update(self)
        named = [field for field in json.loads(self.body) if field not in _NO_FIELDS]
        fields = list(dict.fromkeys(_FIELDS.get(field, field) for field in named))
        _tell(self.sagemaker_backend.model_packages[answer.result["ModelPackageArn"]], emit, fields=fields)
        return answer

    with replaced(SageMakerResponse, create_model_package=created, update_model_package=updated):
        yield


def _tell(package: Any, emit: Callable[..., None], *, fields: Sequence[str] | None = None) -> None:
    """The event as "Automating SageMaker with EventBridge" shows it, without what nobody filters by.

    `fields` are those that an update names; a registration has none.
    """
    detail = {
        "ModelPackageName": f"{package.model_package_group_name}/{package.model_package_version}",
        "ModelPackageGroupName": package.model_package_group_name,
        "ModelPackageVersion": package.model_package_version,
        "ModelPackageArn": package.arn,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": package.model_approval_status,
        "CustomerMetadataProperties": package.customer_metadata_properties or {},
    }
    if fields is not None:
        detail["UpdatedModelPackageFields"] = list(fields)
    emit(
        source="aws.sagemaker",
        kind="SageMaker Model Package State Change",
        detail=detail,
        resources=[package.arn],
    )


def _merged(kept: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, str]:
    """Metadata are added to what is there, name by name."""
    return {**(kept["customer_metadata_properties"] or {}), **fields["customer_metadata_properties"]}


def _missing(kept: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if fields.get(name) is None}
