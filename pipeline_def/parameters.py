"""The parameters of an execution: what a person may change when starting it, from the console or the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString

from pipeline_def.hyperparameters import Hyperparameter, TrainingImage, table
from pipeline_def.placeholders import DATA_BUCKET, placeholder
from pipeline_def.settings import PipelineSettings

# Always offered, whether the settings name them or not.
ALWAYS_OFFERED: Final = ("num_layers", "epochs", "learning_rate", "mini_batch_size", "optimizer")


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Every parameter of the pipeline; `hyperparameters` maps a hyperparameter's wire name to its parameter."""

    input_data_uri: Parameter
    image_size: Parameter
    resize: Parameter
    validation_fraction: Parameter
    test_fraction: Parameter
    images_per_class: Parameter
    seed: Parameter
    record_format: Parameter
    quality: Parameter
    max_rejected_fraction: Parameter
    crop: Parameter
    pass_through: Parameter
    convert_icc: Parameter
    group_by: Parameter
    processing_instance_type: Parameter
    training_instance_type: Parameter
    evaluation_instance_type: Parameter
    top_k: Parameter
    accuracy_threshold: Parameter
    model_approval_status: Parameter
    hyperparameters: dict[str, Parameter]

    def all(self) -> list[Parameter]:
        """All parameters in the order in which the console lists them."""
        single = [value for value in vars(self).values() if not isinstance(value, dict)]
        return [*single, *self.hyperparameters.values()]


def build_parameters(settings: PipelineSettings) -> Parameters:
    """The parameters with their defaults from the settings."""
    data, train, evaluate = settings.preprocess, settings.train, settings.evaluate
    return Parameters(
        input_data_uri=ParameterString(
            "InputDataUri", default_value=f"s3://{placeholder(DATA_BUCKET)}/{settings.input_prefix}/"
        ),
        image_size=ParameterInteger("ImageSize", default_value=data.image_size),
        resize=ParameterInteger("ResizeShortSide", default_value=data.resize),
        validation_fraction=ParameterFloat("ValidationFraction", default_value=data.validation_fraction),
        test_fraction=ParameterFloat("TestFraction", default_value=data.test_fraction),
        images_per_class=ParameterInteger("ImagesPerClass", default_value=data.images_per_class),
        seed=ParameterInteger("Seed", default_value=data.seed),
        record_format=ParameterString("RecordFormat", default_value=data.record_format, enum_values=["jpg", "png"]),
        quality=ParameterInteger("Quality", default_value=data.quality),
        max_rejected_fraction=ParameterFloat("MaxRejectedFraction", default_value=data.max_rejected_fraction),
        crop=ParameterString("Crop", default_value=data.crop, enum_values=["none", "square"]),
        pass_through=_switch("PassThrough", data.pass_through),
        convert_icc=_switch("ConvertIcc", data.convert_icc),
        group_by=ParameterString("GroupBy", default_value=data.group_by),
        processing_instance_type=ParameterString("ProcessingInstanceType", default_value=data.instance_type),
        training_instance_type=ParameterString("TrainingInstanceType", default_value=train.instance_type),
        evaluation_instance_type=ParameterString("EvaluationInstanceType", default_value=evaluate.instance_type),
        top_k=ParameterInteger("EvaluationTopK", default_value=evaluate.top_k),
        accuracy_threshold=ParameterFloat("AccuracyThreshold", default_value=evaluate.accuracy_threshold),
        model_approval_status=ParameterString(
            "ModelApprovalStatus",
            default_value=settings.registry.approval_status,
            enum_values=["PendingManualApproval", "Approved", "Rejected"],
        ),
        hyperparameters=_hyperparameter_parameters(settings),
    )


def _switch(name: str, default: bool) -> Parameter:
    """A yes or no. Not the service's Boolean: nothing says how that reads as a container's argument."""
    return ParameterString(name, default_value="true" if default else "false", enum_values=["false", "true"])


def _hyperparameter_parameters(settings: PipelineSettings) -> dict[str, Parameter]:
    given = settings.train.hyperparameters
    names = [name for name in table() if name in given or name in ALWAYS_OFFERED]
    return {
        name: _as_parameter(table()[name], given.get(name, table()[name].default), settings.train.image)
        for name in names
    }


def _as_parameter(row: Hyperparameter, default: str | bool | int | float | None, image: TrainingImage) -> Parameter:
    if choices := row.choices_for(image):
        # The service knows closed values for strings only, and a hyperparameter is a string on the wire anyway.
        return ParameterString(row.parameter_name, default_value=str(default), enum_values=choices)
    if row.type == "float":
        return ParameterFloat(row.parameter_name, default_value=float(default or 0))
    kinds = {"int": ParameterInteger, "string": ParameterString}
    return kinds[row.type](row.parameter_name, default_value=default)
