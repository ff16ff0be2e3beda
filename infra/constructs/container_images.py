"""The container images, each built from just the folders that it copies."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

# Image name -> folders of processing/ that its Dockerfile copies, its own included. All else stays out of the
# build context, so a change in the trainer gives the preprocess image no new hash.
IMAGE_FOLDERS = {
    "imaging": ("containers/imaging", "common", "preprocess"),
    "mxnet": ("containers/mxnet", "common", "train", "evaluate", "package"),
}
_NEVER = ("**/__pycache__", "**/*.pyc", "**/.*_cache", "**/.DS_Store")


class ContainerImages(Construct):
    """One asset per image, for linux/amd64 (MXNet has wheels for nothing else)."""

    def __init__(self, scope: Construct, construct_id: str, *, processing: Path) -> None:
        super().__init__(scope, construct_id)
        self.imaging = self._asset("imaging", processing)
        self.mxnet = self._asset("mxnet", processing)

    def _asset(self, name: str, processing: Path) -> ecr_assets.DockerImageAsset:
        return ecr_assets.DockerImageAsset(
            self,
            name.capitalize(),
            directory=str(processing),
            file=f"containers/{name}/Dockerfile",
            platform=ecr_assets.Platform.LINUX_AMD64,
            exclude=["*", *(f"!{folder}" for folder in IMAGE_FOLDERS[name]), *_NEVER],
        )
