"""Typed settings of the pipelines: the `pipeline:` section of an environment file."""

from pipeline_def.settings.evaluate import EvaluateSettings
from pipeline_def.settings.package import PackageSettings
from pipeline_def.settings.pipeline import PIPELINES, REGISTERING_PIPELINES, PipelineSettings, RegistrySettings
from pipeline_def.settings.preprocess import GROUP_BY_OPTION, MAX_GROUP_BY_CHARACTERS, PreprocessSettings
from pipeline_def.settings.train import ProfilerSettings, TrainSettings
from pipeline_def.settings.transform import TransformSettings
from pipeline_def.settings.tune import NumberRange, TuneSettings

__all__ = [
    "GROUP_BY_OPTION",
    "MAX_GROUP_BY_CHARACTERS",
    "PIPELINES",
    "REGISTERING_PIPELINES",
    "EvaluateSettings",
    "NumberRange",
    "PackageSettings",
    "PipelineSettings",
    "PreprocessSettings",
    "ProfilerSettings",
    "RegistrySettings",
    "TrainSettings",
    "TransformSettings",
    "TuneSettings",
]
