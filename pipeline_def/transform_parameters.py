"""The parameters of the pipeline `transform`: which images, which model version, on which machines."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker.core.workflow.parameters import Parameter, ParameterInteger, ParameterString

from pipeline_def.parameters import LATEST_APPROVED
from pipeline_def.placeholders import DATA_BUCKET, placeholder
from pipeline_def.settings import PipelineSettings


@dataclass(frozen=True, kw_only=True)
class TransformParameters:
    """Every parameter of the pipeline."""

    input_data_uri: Parameter
    model_version: Parameter
    instance_type: Parameter
    instance_count: Parameter
    max_concurrent_transforms: Parameter
    top_k: Parameter
    join_instance_type: Parameter

    def all(self) -> list[Parameter]:
        """All parameters in the order in which the console lists them."""
        return list(vars(self).values())


def build_transform_parameters(settings: PipelineSettings) -> TransformParameters:
    """The parameters with their defaults from the settings."""
    transform = settings.transform
    return TransformParameters(
        input_data_uri=ParameterString(
            "InputDataUri", default_value=f"s3://{placeholder(DATA_BUCKET)}/{transform.input_prefix}/"
        ),
        # A number as text, or LATEST_APPROVED.
        model_version=ParameterString("ModelVersion", default_value=LATEST_APPROVED),
        instance_type=ParameterString("TransformInstanceType", default_value=transform.instance_type),
        instance_count=ParameterInteger("TransformInstanceCount", default_value=transform.instance_count),
        max_concurrent_transforms=ParameterInteger(
            "MaxConcurrentTransforms", default_value=transform.max_concurrent_transforms
        ),
        top_k=ParameterInteger("TransformTopK", default_value=transform.top_k),
        join_instance_type=ParameterString("JoinInstanceType", default_value=transform.join_instance_type),
    )
