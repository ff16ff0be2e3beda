"""The parameters of the pipeline `transform`, declared: which images, which model version, on which machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from pipeline_def.declarations import LATEST_APPROVED, Declared, ParameterT
from pipeline_def.placeholders import DATA_BUCKET, placeholder
from pipeline_def.settings import PipelineSettings


@dataclass(frozen=True, kw_only=True)
class TransformParameters(Generic[ParameterT]):
    """Every parameter of the pipeline."""

    input_data_uri: ParameterT
    model_version: ParameterT
    instance_type: ParameterT
    instance_count: ParameterT
    max_concurrent_transforms: ParameterT
    top_k: ParameterT
    join_instance_type: ParameterT

    def all(self) -> list[ParameterT]:
        """All parameters in the order in which the console lists them."""
        return list(vars(self).values())


def declare_transform_parameters(settings: PipelineSettings) -> TransformParameters[Declared]:
    """The parameters with their defaults from the settings."""
    transform = settings.transform
    return TransformParameters[Declared](
        input_data_uri=Declared(
            name="InputDataUri", type="String", default=f"s3://{placeholder(DATA_BUCKET)}/{transform.input_prefix}/"
        ),
        # A number as text, or LATEST_APPROVED.
        model_version=Declared(name="ModelVersion", type="String", default=LATEST_APPROVED),
        instance_type=Declared(name="TransformInstanceType", type="String", default=transform.instance_type),
        instance_count=Declared(name="TransformInstanceCount", type="Integer", default=transform.instance_count),
        max_concurrent_transforms=Declared(
            name="MaxConcurrentTransforms", type="Integer", default=transform.max_concurrent_transforms
        ),
        top_k=Declared(name="TransformTopK", type="Integer", default=transform.top_k),
        join_instance_type=Declared(name="JoinInstanceType", type="String", default=transform.join_instance_type),
    )
