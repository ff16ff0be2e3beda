"""A model of the account as a container can run it: its image, its artifact unpacked, its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.archives import unpack_model_archive
from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
from local.storage import split_uri


@dataclass(frozen=True, kw_only=True)
class ModelContainer:
    """What runs the model."""

    image_uri: str
    environment: Mapping[str, str]


def unpack_model(account: EmulatedAccount, name: str, directory: Path) -> ModelContainer:
    """Unpacks a model's artifact into `directory`; a container that names a model package takes what that has.

    Raises LocalRunError for a model of several containers, which are not run here, and for a damaged artifact.
    """
    sagemaker = account.client("sagemaker")
    model = sagemaker.describe_model(ModelName=name)
    containers = model.get("Containers") or [model["PrimaryContainer"]]
    if len(containers) != 1:
        raise LocalRunError(f"model {name} has {len(containers)} containers: a local run takes models of one")
    container = _with_package(sagemaker, containers[0])
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory.with_name("model.tar.gz")
    bucket, key = split_uri(container["ModelDataUrl"])
    account.objects.copy_out(bucket, key, archive)
    unpack_model_archive(archive, directory, name=container["ModelDataUrl"])
    archive.unlink()
    return ModelContainer(image_uri=container["Image"], environment=container.get("Environment", {}))


def _with_package(sagemaker: Any, container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's own fields over those of its package."""
    if "ModelPackageName" not in container:
        return dict(container)
    package = sagemaker.describe_model_package(ModelPackageName=container["ModelPackageName"])
    [packaged] = package["InferenceSpecification"]["Containers"]
    environment = {**packaged.get("Environment", {}), **container.get("Environment", {})}
    return {**packaged, **container, "Environment": environment}
