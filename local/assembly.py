"""Reads a CDK cloud assembly (cdk.out): stacks in deployment order, file assets and container images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.errors import LocalRunError


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack with its template; `account` is None where the template takes the caller's."""

    name: str
    account: str | None
    region: str
    template: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FileAsset:
    """A file or directory that the deployment publishes to the bootstrap bucket."""

    source: Path
    packaging: str  # "file" or "zip"
    bucket: str  # may hold ${AWS::AccountId} and the like
    key: str


@dataclass(frozen=True, kw_only=True)
class ImageAsset:
    """A container image that the deployment builds; its URI ends in `tag`."""

    directory: Path
    dockerfile: str
    tag: str
    target: str | None = None  # the stage of the Dockerfile, by default its last

    @property
    def name(self) -> str:
        """The image's name: the folder of its Dockerfile."""
        return Path(self.dockerfile).parent.name


@dataclass(frozen=True, kw_only=True)
class CloudAssembly:
    """What `cdk synth` wrote, as far as a deployment needs it."""

    stacks: tuple[Stack, ...]
    files: tuple[FileAsset, ...]
    images: tuple[ImageAsset, ...]

    def up_to(self, kind: str) -> CloudAssembly:
        """The stacks up to `<prefix>-<kind>`, which are all that it needs, with the files that they name.

        Raises LocalRunError where there is no such stack.
        """
        kinds = [stack.name.endswith(f"-{kind}") for stack in self.stacks]
        if True not in kinds:
            raise LocalRunError(f"the environment has no stack of a name that ends in -{kind}: synthesise it again")
        stacks = self.stacks[: kinds.index(True) + 1]
        named = json.dumps([stack.template for stack in stacks])
        return CloudAssembly(
            stacks=stacks, files=tuple(asset for asset in self.files if asset.key in named), images=self.images
        )


def read_assembly(directory: Path) -> CloudAssembly:
    """The assembly in `directory`; stacks come after those they depend on.

    Format: aws-cdk-lib's cloud_assembly_schema (manifest.json and the asset manifests that it names).
    """
    manifest = directory / "manifest.json"
    if not manifest.is_file():
        raise LocalRunError(f"{directory} holds no synthesised environment (manifest.json): run `make synth ENV=dev`")
    artifacts = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"]
    files: dict[str, FileAsset] = {}
    images: dict[str, ImageAsset] = {}
    for artifact in artifacts.values():
        if artifact["type"] == "cdk:asset-manifest":
            assets = json.loads((directory / artifact["properties"]["file"]).read_text(encoding="utf-8"))
            files |= {key: _file_asset(directory, asset) for key, asset in assets.get("files", {}).items()}
            images |= {key: _image_asset(directory, asset) for key, asset in assets.get("dockerImages", {}).items()}
    stacks = tuple(_stack(directory, name, artifacts[name]) for name in _deployment_order(artifacts))
    return CloudAssembly(stacks=stacks, files=tuple(files.values()), images=tuple(images.values()))


def _deployment_order(artifacts: dict[str, Any]) -> list[str]:
    stacks = {name for name, artifact in artifacts.items() if artifact["type"] == "aws:cloudformation:stack"}
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for dependency in artifacts[name].get("dependencies", []):
            if dependency in stacks:
                visit(dependency)
        ordered.append(name)

    for name in sorted(stacks):
        visit(name)
    return ordered


def _stack(directory: Path, name: str, artifact: dict[str, Any]) -> Stack:
    properties = artifact["properties"]
    account, region = artifact["environment"].removeprefix("aws://").split("/")
    return Stack(
        name=properties.get("stackName", name),
        account=None if account == "unknown-account" else account,
        region=region,
        template=json.loads((directory / properties["templateFile"]).read_text(encoding="utf-8")),
    )


def _file_asset(directory: Path, asset: dict[str, Any]) -> FileAsset:
    destination = next(iter(asset["destinations"].values()))
    return FileAsset(
        source=directory / asset["source"]["path"],
        packaging=asset["source"]["packaging"],
        bucket=destination["bucketName"],
        key=destination["objectKey"],
    )


def _image_asset(directory: Path, asset: dict[str, Any]) -> ImageAsset:
    destination = next(iter(asset["destinations"].values()))
    return ImageAsset(
        directory=directory / asset["source"]["directory"],
        dockerfile=asset["source"].get("dockerFile", "Dockerfile"),
        tag=destination["imageTag"],
        target=asset["source"].get("dockerBuildTarget"),
    )
