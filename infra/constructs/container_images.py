"""The container images, each built from just the folders that it copies."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

# Image name -> folders of processing/ that its Dockerfile copies, its own included. All else stays out of the
# build context, so a change in the trainer gives the preprocess image no new hash.
IMAGE_FOLDERS = {
    "imaging": ("containers/imaging", "common", "preprocess", "join", "monitor"),
    "mxnet": ("containers/mxnet", "common", "train", "evaluate", "package"),
    # Reads images with the packer's own code, so that the model sees what it was trained on.
    "serve": ("containers/serve", "common", "preprocess", "serve"),
}
_NEVER = ("**/__pycache__", "**/*.pyc", "**/.*_cache", "**/.DS_Store")


class ContainerImages(Construct):
    """One asset per image, for linux/amd64 (MXNet has wheels for nothing else).

    `mxnet_gpu` is the image `mxnet` with MXNet for GPUs, the target `gpu` of its Dockerfile; None without `with_gpu`,
    because it is large. All assets lie in one repository, the bootstrap's.
    """

    def __init__(self, scope: Construct, construct_id: str, *, processing: Path, with_gpu: bool) -> None:
        super().__init__(scope, construct_id)
        self.imaging = image_asset(self, "Imaging", processing, image="imaging")
        self.mxnet = image_asset(self, "Mxnet", processing, image="mxnet")
        self.mxnet_gpu = image_asset(self, "MxnetGpu", processing, image="mxnet", target="gpu") if with_gpu else None
        self.serve = image_asset(self, "Serve", processing, image="serve")

    @property
    def repository_arn(self) -> str:
        """ARN of the repository of all assets."""
        return self.imaging.repository.repository_arn


def image_asset(
    scope: Construct, construct_id: str, processing: Path, *, image: str, target: str | None = None
) -> ecr_assets.DockerImageAsset:
    """An image of IMAGE_FOLDERS; equal sources give equal assets, in whichever stack."""
    return ecr_assets.DockerImageAsset(
        scope,
        construct_id,
        directory=str(processing),
        file=f"containers/{image}/Dockerfile",
        target=target,
        platform=ecr_assets.Platform.LINUX_AMD64,
        exclude=["*", *(f"!{folder}" for folder in IMAGE_FOLDERS[image]), *_NEVER],
    )
