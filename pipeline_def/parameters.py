"""The parameters of an execution: what a person may change when starting it, from the console or the command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString

from pipeline_def.hyperparameters import Hyperparameter, TrainingImage, table
from pipeline_def.placeholders import DATA_BUCKET, placeholder
from pipeline_def.settings import PipelineSettings
from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.settings.package import PRECISIONS

# The value of BaseModelUri that lets Resolve find the newest approved version.
LATEST_APPROVED: Final = "latest-approved"
# Always offered, whether the settings name them or not.
_LEFT_OUT: Final = {"train": frozenset[str](), "tune": frozenset[str](), "retrain": frozenset({"use_pretrained_model"})}
ALWAYS_OFFERED: Final = ("num_layers", "epochs", "learning_rate", "mini_batch_size", "optimizer")


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Every parameter of a pipeline; None where it has no such one.

    `hyperparameters` maps a hyperparameter's wire name to its parameter, `gates` a metric of evaluation.json to its
    threshold's.
    """

    input_data_uri: Parameter
    base_model_uri: Parameter | None
    pretrained_model_uri: Parameter | None
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
    tuning_max_jobs: Parameter | None
    tuning_continue_epochs: Parameter | None
    top_k: Parameter
    threshold_precision: Parameter
    gates: dict[str, Parameter]
    champion_margin: Parameter
    model_precision: Parameter
    max_accuracy_drop: Parameter
    model_approval_status: Parameter
    hyperparameters: dict[str, Parameter]

    def all(self) -> list[Parameter]:
        """All parameters in the order in which the console lists them."""
        listed: list[Parameter] = []
        for value in vars(self).values():
            listed += value.values() if isinstance(value, dict) else [value] if value is not None else []
        return listed


def threshold_name(metric: str) -> str:
    """The parameter of a gate: macro_f1 becomes MacroF1Threshold."""
    return "".join(word.capitalize() for word in metric.split("_")) + "Threshold"


def build_parameters(settings: PipelineSettings, *, pipeline: str) -> Parameters:
    """The parameters of a pipeline, one of `settings.PIPELINES`, with their defaults from the settings."""
    data, train, evaluate, tune = settings.preprocess, settings.train, settings.evaluate, settings.tune
    tuning, pretrained = pipeline == "tune", train.pretrained_model_uri
    return Parameters(
        input_data_uri=ParameterString(
            "InputDataUri", default_value=f"s3://{placeholder(DATA_BUCKET)}/{settings.input_prefix}/"
        ),
        base_model_uri=ParameterString("BaseModelUri", default_value=LATEST_APPROVED)
        if pipeline == "retrain"
        else None,
        # A base model comes with all its weights.
        pretrained_model_uri=ParameterString("PretrainedModelUri", default_value=pretrained)
        if pretrained and pipeline != "retrain"
        else None,
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
        # With Grid the service runs all combinations.
        tuning_max_jobs=ParameterInteger("TuningMaxJobs", default_value=tune.max_jobs)
        if tuning and tune.strategy != "Grid"
        else None,
        tuning_continue_epochs=ParameterInteger("TuningContinueEpochs", default_value=tune.continue_epochs)
        if tuning and tune.continue_epochs
        else None,
        top_k=ParameterInteger("EvaluationTopK", default_value=evaluate.top_k),
        threshold_precision=ParameterFloat("ThresholdPrecision", default_value=evaluate.threshold_precision),
        gates={
            metric: ParameterFloat(threshold_name(metric), default_value=evaluate.gates[metric])
            for metric in GATE_METRICS
            if metric in evaluate.gates
        },
        champion_margin=ParameterFloat("ChampionMargin", default_value=evaluate.champion_margin),
        model_precision=ParameterString(
            "ModelPrecision", default_value=settings.package.precision, enum_values=list(PRECISIONS)
        ),
        max_accuracy_drop=ParameterFloat("MaxAccuracyDrop", default_value=settings.package.max_accuracy_drop),
        model_approval_status=ParameterString(
            "ModelApprovalStatus",
            default_value=settings.registry.approval_status,
            enum_values=["PendingManualApproval", "Approved", "Rejected"],
        ),
        hyperparameters=_hyperparameter_parameters(
            settings, left_out=_LEFT_OUT[pipeline] | (tune.ranges if tuning else {}).keys()
        ),
    )


def _switch(name: str, default: bool) -> Parameter:
    """A yes or no. Not the service's Boolean: nothing says how that reads as a container's argument."""
    return ParameterString(name, default_value="true" if default else "false", enum_values=["false", "true"])


def _hyperparameter_parameters(settings: PipelineSettings, *, left_out: Collection[str]) -> dict[str, Parameter]:
    given = settings.train.hyperparameters
    names = [name for name in table() if (name in given or name in ALWAYS_OFFERED) and name not in left_out]
    return {
        name: _as_parameter(table()[name], given.get(name, table()[name].default), settings.train.image)
        for name in names
        # Whether weights are given decides it: steps.train sets it.
        if not (name == "use_pretrained_model" and settings.train.image == "own")
    }


def _as_parameter(row: Hyperparameter, default: str | bool | int | float | None, image: TrainingImage) -> Parameter:
    if choices := row.choices_for(image):
        # The service knows closed values for strings only, and a hyperparameter is a string on the wire anyway.
        return ParameterString(row.parameter_name, default_value=str(default), enum_values=choices)
    if row.type == "float":
        return ParameterFloat(row.parameter_name, default_value=float(default or 0))
    kinds = {"int": ParameterInteger, "string": ParameterString}
    return kinds[row.type](row.parameter_name, default_value=default)
