"""Settings of batch transform: the images of a prefix classified by a registered version, without an endpoint."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline_def.settings.section import InstanceType, Section

# MaxPayloadInMB times MaxConcurrentTransforms: CreateTransformJob in the API reference.
MAX_MB_AT_ONCE: Final = 100


class TransformSettings(Section):
    """The transform job and the job that joins its answers with the images' keys."""

    input_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$")] = Field(
        "datasets/batch", description="Default place of the images to classify in the data bucket"
    )
    instance_type: InstanceType = Field("ml.m5.large", description="Instance of the transform job")
    instance_count: int = Field(1, ge=1, le=100, description="Instances that share the images of a transform job")
    max_concurrent_transforms: int = Field(
        2, ge=1, le=MAX_MB_AT_ONCE, description="Images that one instance is given at the same time"
    )
    max_payload_mb: int = Field(
        6, ge=1, le=MAX_MB_AT_ONCE, description="Largest image in MB; a larger one is listed as not classified"
    )
    timeout_seconds: int = Field(60, ge=1, le=3600, description="How long the container may take for one image")
    top_k: int = Field(5, ge=1, le=100, description="Most probable classes that predictions.jsonl lists of an image")
    join_instance_type: InstanceType = Field("ml.m5.large", description="Instance of the job that joins the answers")
    join_volume_size_gb: int = Field(30, ge=1, le=16384, description="Disk of that job, in GB")
    join_max_runtime_minutes: int = Field(60, ge=1, le=7200, description="Limit after which that job is stopped")

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        at_once = self.max_concurrent_transforms * self.max_payload_mb
        if at_once > MAX_MB_AT_ONCE:
            raise ValueError(
                f"max_concurrent_transforms {self.max_concurrent_transforms} times max_payload_mb "
                f"{self.max_payload_mb} is {at_once} MB, the service takes {MAX_MB_AT_ONCE}: lower one of them"
            )
        return self
