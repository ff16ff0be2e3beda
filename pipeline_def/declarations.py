"""The parameters of an execution, declared: what a person may change when starting it, and within which values.

Needs no SDK, which takes seconds to import: who only wants to know the parameters reads them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

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


ParameterT = TypeVar("ParameterT")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A parameter as a definition states it."""

    name: str
    type: Literal["String", "Integer", "Float"]
    default: str | int | float | None
    choices: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The parameter in the definition's own form."""
        content = {"Name": self.name, "Type": self.type, "DefaultValue": self.default, "EnumValues": self.choices}
        return {key: value for key, value in content.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Parameters(Generic[ParameterT]):
    """Every parameter of a pipeline, Declared or the SDK's; None where it has no such one.

    `hyperparameters` maps a hyperparameter's wire name to its parameter, `gates` a metric of evaluation.json to its
    threshold's.
    """

    input_data_uri: ParameterT
    base_model_uri: ParameterT | None
    pretrained_model_uri: ParameterT | None
    image_size: ParameterT
    resize: ParameterT
    validation_fraction: ParameterT
    test_fraction: ParameterT
    images_per_class: ParameterT
    seed: ParameterT
    record_format: ParameterT
    quality: ParameterT
    max_rejected_fraction: ParameterT
    crop: ParameterT
    pass_through: ParameterT
    convert_icc: ParameterT
    group_by: ParameterT
    processing_instance_type: ParameterT
    training_instance_type: ParameterT
    evaluation_instance_type: ParameterT
    tuning_max_jobs: ParameterT | None
    tuning_continue_epochs: ParameterT | None
    top_k: ParameterT
    threshold_precision: ParameterT
    gates: dict[str, ParameterT]
    champion_margin: ParameterT
    model_precision: ParameterT
    max_accuracy_drop: ParameterT
    model_approval_status: ParameterT
    hyperparameters: dict[str, ParameterT]

    def all(self) -> list[ParameterT]:
        """All parameters in the order in which the console lists them."""
        listed: list[ParameterT] = []
        for value in vars(self).values():
            listed += value.values() if isinstance(value, dict) else [value] if value is not None else []
        return listed


def threshold_name(metric: str) -> str:
    """The parameter of a gate: macro_f1 becomes MacroF1Threshold."""
    return "".join(word.capitalize() for word in metric.split("_")) + "Threshold"


def declare_parameters(settings: PipelineSettings, *, pipeline: str) -> Parameters[Declared]:
    """The parameters of a pipeline, one of `settings.PIPELINES`, with their defaults from the settings."""
    data, train, evaluate, tune = settings.preprocess, settings.train, settings.evaluate, settings.tune
    tuning, pretrained = pipeline == "tune", train.pretrained_model_uri
    return Parameters[Declared](
        input_data_uri=_string("InputDataUri", f"s3://{placeholder(DATA_BUCKET)}/{settings.input_prefix}/"),
        base_model_uri=_string("BaseModelUri", LATEST_APPROVED) if pipeline == "retrain" else None,
        # A base model comes with all its weights.
        pretrained_model_uri=_string("PretrainedModelUri", pretrained)
        if pretrained and pipeline != "retrain"
        else None,
        image_size=_integer("ImageSize", data.image_size),
        resize=_integer("ResizeShortSide", data.resize),
        validation_fraction=_float("ValidationFraction", data.validation_fraction),
        test_fraction=_float("TestFraction", data.test_fraction),
        images_per_class=_integer("ImagesPerClass", data.images_per_class),
        seed=_integer("Seed", data.seed),
        record_format=_string("RecordFormat", data.record_format, ("jpg", "png")),
        quality=_integer("Quality", data.quality),
        max_rejected_fraction=_float("MaxRejectedFraction", data.max_rejected_fraction),
        crop=_string("Crop", data.crop, ("none", "square")),
        pass_through=_switch("PassThrough", data.pass_through),
        convert_icc=_switch("ConvertIcc", data.convert_icc),
        group_by=_string("GroupBy", data.group_by),
        processing_instance_type=_string("ProcessingInstanceType", data.instance_type),
        training_instance_type=_string("TrainingInstanceType", train.instance_type),
        evaluation_instance_type=_string("EvaluationInstanceType", evaluate.instance_type),
        # With Grid the service runs all combinations.
        tuning_max_jobs=_integer("TuningMaxJobs", tune.max_jobs) if tuning and tune.strategy != "Grid" else None,
        tuning_continue_epochs=_integer("TuningContinueEpochs", tune.continue_epochs)
        if tuning and tune.continue_epochs
        else None,
        top_k=_integer("EvaluationTopK", evaluate.top_k),
        threshold_precision=_float("ThresholdPrecision", evaluate.threshold_precision),
        gates={
            metric: _float(threshold_name(metric), evaluate.gates[metric])
            for metric in GATE_METRICS
            if metric in evaluate.gates
        },
        champion_margin=_float("ChampionMargin", evaluate.champion_margin),
        model_precision=_string("ModelPrecision", settings.package.precision, PRECISIONS),
        max_accuracy_drop=_float("MaxAccuracyDrop", settings.package.max_accuracy_drop),
        model_approval_status=_string(
            "ModelApprovalStatus",
            settings.registry.approval_status,
            ("PendingManualApproval", "Approved", "Rejected"),
        ),
        hyperparameters=_hyperparameter_parameters(
            settings, left_out=_LEFT_OUT[pipeline] | (tune.ranges if tuning else {}).keys()
        ),
    )


def _switch(name: str, default: bool) -> Declared:
    """A yes or no. Not the service's Boolean: nothing says how that reads as a container's argument."""
    return _string(name, "true" if default else "false", ("false", "true"))


def _hyperparameter_parameters(settings: PipelineSettings, *, left_out: Collection[str]) -> dict[str, Declared]:
    given = settings.train.hyperparameters
    names = [name for name in table() if (name in given or name in ALWAYS_OFFERED) and name not in left_out]
    return {
        name: _as_parameter(table()[name], given.get(name, table()[name].default), settings.train.image)
        for name in names
        # Whether weights are given decides it: steps.train sets it.
        if not (name == "use_pretrained_model" and settings.train.image == "own")
    }


def _as_parameter(row: Hyperparameter, default: str | bool | int | float | None, image: TrainingImage) -> Declared:
    if choices := row.choices_for(image):
        # The service knows closed values for strings only, and a hyperparameter is a string on the wire anyway.
        return _string(row.parameter_name, str(default), choices)
    if row.type == "float":
        return _float(row.parameter_name, float(default or 0))
    kinds: Final[Mapping[str, Literal["Integer", "String"]]] = {"int": "Integer", "string": "String"}
    return Declared(name=row.parameter_name, type=kinds[row.type], default=default)


def _string(name: str, default: str, choices: Collection[str] | None = None) -> Declared:
    return Declared(name=name, type="String", default=default, choices=tuple(choices) if choices else None)


def _integer(name: str, default: int) -> Declared:
    return Declared(name=name, type="Integer", default=default)


def _float(name: str, default: float) -> Declared:
    return Declared(name=name, type="Float", default=default)
