"""Model packages of the emulated account: what an update must keep, and versions that were registered before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends

from local.emulator.replaced import replaced

_KEPT: Final = ("customer_metadata_properties", "approval_description")


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

    A request that names an approval status is followed by the service's event, which `emit` takes.
    """
    update = SageMakerModelBackend.update_model_package

    def update_named(self: SageMakerModelBackend, model_package_arn: str, **fields: Any) -> str:
        package = self.model_packages.get(model_package_arn)
        kept = {} if package is None else {name: getattr(package, name) for name in _KEPT}
        status = None if package is None else package.model_approval_status
        if fields.get("customer_metadata_properties") and kept:
            fields["customer_metadata_properties"] = _merged(kept, fields)
        arn: str = update(self, model_package_arn=model_package_arn, **(fields | _missing(kept, fields)))
        if fields.get("model_approval_status") is not None:
            _tell(self.model_packages[arn], emit)
        elif status is not None:
            self.model_packages[arn].set_model_approval_status(status)
        return arn

    with replaced(SageMakerModelBackend, update_model_package=update_named):
        yield


def _tell(package: Any, emit: Callable[..., None]) -> None:
    """The event as "Automating SageMaker with EventBridge" shows it, without the fields that nobody filters by."""
    detail = {
        "ModelPackageName": f"{package.model_package_group_name}/{package.model_package_version}",
        "ModelPackageGroupName": package.model_package_group_name,
        "ModelPackageVersion": package.model_package_version,
        "ModelPackageArn": package.arn,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": package.model_approval_status,
        "CustomerMetadataProperties": package.customer_metadata_properties or {},
    }
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
