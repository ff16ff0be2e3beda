"""The declared parameters as the SDK's, which steps refer to."""

from __future__ import annotations

from typing import Any, TypeAlias

from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString

from pipeline_def.declarations import Declared, Parameters, declare_parameters
from pipeline_def.settings import PipelineSettings
from pipeline_def.transform_parameters import TransformParameters, declare_transform_parameters

PipelineParameters: TypeAlias = Parameters[Parameter]
TransformPipelineParameters: TypeAlias = TransformParameters[Parameter]


def build_parameters(settings: PipelineSettings, *, pipeline: str) -> PipelineParameters:
    """The parameters of a pipeline that registers a model."""
    declared = declare_parameters(settings, pipeline=pipeline)
    return Parameters[Parameter](**{name: _built(value) for name, value in vars(declared).items()})


def build_transform_parameters(settings: PipelineSettings) -> TransformPipelineParameters:
    """The parameters of the pipeline `transform`."""
    declared = declare_transform_parameters(settings)
    return TransformParameters[Parameter](**{name: _built(value) for name, value in vars(declared).items()})


def _built(declared: Any) -> Any:
    """A parameter, or a mapping of some, in the SDK's form; None stays None."""
    if isinstance(declared, dict):
        return {name: _built(value) for name, value in declared.items()}
    return _parameter(declared) if declared is not None else None


def _parameter(declared: Declared) -> Parameter:
    if declared.type == "String":
        choices = list(declared.choices) if declared.choices else None
        return ParameterString(declared.name, default_value=declared.default, enum_values=choices)
    kind = ParameterInteger if declared.type == "Integer" else ParameterFloat
    return kind(declared.name, default_value=declared.default)
