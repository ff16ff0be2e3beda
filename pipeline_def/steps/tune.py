"""Tune: a hyperparameter tuning job over the ranges of the settings, and Trials, which lists its training jobs."""

from __future__ import annotations

from typing import Any

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter, ParameterRange
from sagemaker.core.shapes import (
    HyperbandStrategyConfig,
    HyperParameterTuningJobStrategyConfig,
    HyperParameterTuningJobWarmStartConfig,
    ParentHyperParameterTuningJob,
)
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep, TuningStep
from sagemaker.train.tuner import HyperparameterTuner

from pipeline_def.hyperparameters import table
from pipeline_def.parameters import PipelineParameters
from pipeline_def.placeholders import LIST_TRIALS_FUNCTION_ARN, placeholder
from pipeline_def.settings.tune import NumberRange, Range, TuneSettings
from pipeline_def.steps.context import Context, job_retries
from pipeline_def.steps.resolve import text_output
from pipeline_def.steps.trainer import (
    METRICS,
    OBJECTIVE,
    hyperparameters_of,
    model_trainer,
    pretrained_channels,
    record_channels,
)

TRIALS_URI = "trials_uri"
_OUTPUT = "tune"


class _TuningStep(TuningStep):  # type: ignore[misc]  # the SDK comes without types here
    """A tuning step with what the SDK's tuner leaves out: parameters instead of literal numbers, network isolation."""

    def __init__(self, *, parameters: PipelineParameters, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._parameters = parameters

    @property
    def arguments(self) -> dict[str, Any]:
        """See TuningStep."""
        request: dict[str, Any] = super().arguments
        config = request["HyperParameterTuningJobConfig"]
        request["TrainingJobDefinition"]["EnableNetworkIsolation"] = True
        config["RandomSeed"] = self._parameters.seed
        if self._parameters.tuning_max_jobs is not None:
            config["ResourceLimits"]["MaxNumberOfTrainingJobs"] = self._parameters.tuning_max_jobs
        return request


def tune_step(context: Context, preprocess: ProcessingStep) -> TuningStep:
    """Tunes on the channels that Preprocess packed; not cached, for artifacts are found by the execution's prefix."""
    settings = context.settings.tune
    trainer = model_trainer(
        context, output=_OUTPUT, hyperparameters=hyperparameters_of(context, preprocess), with_checkpoints=False
    )
    own = context.settings.train.image == "own"
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name=OBJECTIVE,
        objective_type="Maximize",
        hyperparameter_ranges={name: _range(name, values) for name, values in settings.ranges.items()},
        metric_definitions=[{"Name": name, "Regex": regex} for name, regex in METRICS.items()] if own else None,
        strategy=settings.strategy,
        strategy_config=_strategy(settings),
        max_jobs=settings.number_of_jobs,
        max_parallel_jobs=settings.max_parallel_jobs,
        max_runtime_in_seconds=settings.max_runtime_minutes * 60,
        early_stopping_type=settings.early_stopping,
        warm_start_config=_warm_start(settings),
        base_tuning_job_name="tune",
    )
    return _TuningStep(
        parameters=context.parameters,
        name="Tune",
        display_name="Tune hyperparameters",
        description=f"Searches {', '.join(settings.ranges)} for the best accuracy on the validation channel.",
        step_args=tuner.tune(inputs=[*record_channels(preprocess), *pretrained_channels(context)]),
        retry_policies=job_retries(),
    )


def best_model_uri(context: Context, tune: TuningStep) -> PipelineVariable:
    """Where the artifact of the best training job lies; the service names the job.

    Not by the SDK's `get_top_model_s3_uri`: of trials that are equally good it may name another than BestTrainingJob,
    which the registered hyperparameters come from.
    """
    return Join(
        on="/",
        values=[context.output(_OUTPUT), tune.properties.BestTrainingJob.TrainingJobName, "output/model.tar.gz"],
    )


def tuned_hyperparameters(context: Context, tune: TuningStep) -> dict[str, PipelineVariable]:
    """The values of the best training job, by name."""
    chosen = tune.properties.BestTrainingJob.TunedHyperParameters
    return {name: chosen[name] for name in context.settings.tune.ranges}


def trials_step(context: Context, tune: TuningStep) -> LambdaStep:
    """Writes the tuning job's training jobs to trials.json, which the evaluation shows."""
    return LambdaStep(
        name="Trials",
        display_name="List the trials",
        description="Writes hyperparameters, objective and status of every training job to trials.json.",
        lambda_func=Lambda(function_arn=placeholder(LIST_TRIALS_FUNCTION_ARN), session=context.session),
        inputs={
            "tuning_job_name": tune.properties.HyperParameterTuningJobName,
            "output_uri": context.output("trials"),
        },
        outputs=[
            text_output(TRIALS_URI),
            text_output("best_training_job"),
            LambdaOutput(output_name="best_value", output_type=LambdaOutputTypeEnum.Float),
            LambdaOutput(output_name="count", output_type=LambdaOutputTypeEnum.Integer),
        ],
    )


def _range(name: str, values: Range) -> ParameterRange:
    if not isinstance(values, NumberRange):
        return CategoricalParameter(list(values))
    if table()[name].type == "int":
        return IntegerParameter(int(values.min), int(values.max), values.scaling)
    return ContinuousParameter(values.min, values.max, values.scaling)


def _strategy(settings: TuneSettings) -> HyperParameterTuningJobStrategyConfig | None:
    if settings.strategy != "Hyperband":
        return None
    limits = {"min_resource": settings.hyperband_min_epochs}
    if settings.hyperband_max_epochs:  # else the service takes the hyperparameter epochs
        limits["max_resource"] = settings.hyperband_max_epochs
    return HyperParameterTuningJobStrategyConfig(hyperband_strategy_config=HyperbandStrategyConfig(**limits))


def _warm_start(settings: TuneSettings) -> HyperParameterTuningJobWarmStartConfig | None:
    if settings.warm_start is None:
        return None
    return HyperParameterTuningJobWarmStartConfig(
        parent_hyper_parameter_tuning_jobs=[
            ParentHyperParameterTuningJob(hyper_parameter_tuning_job_name=name) for name in settings.warm_start.parents
        ],
        warm_start_type=settings.warm_start.type,
    )
