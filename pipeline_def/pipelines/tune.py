"""Pipeline `tune`: a search for hyperparameters; its best model is evaluated and registered like any other."""

from __future__ import annotations

from typing import Any

from pipeline_def.pipelines.registering import registering_steps
from pipeline_def.steps.context import Context
from pipeline_def.steps.preprocess import preprocess_steps
from pipeline_def.steps.register import Lineage
from pipeline_def.steps.resolve import resolve_step
from pipeline_def.steps.train import train_step
from pipeline_def.steps.trainer import hyperparameters_of
from pipeline_def.steps.tune import TRIALS_URI, best_model_uri, trials_step, tune_step, tuned_hyperparameters


def steps(context: Context) -> list[Any]:
    """Resolve, Pack where several instances pack, Preprocess, Tune, Trials, Train where set, Evaluate, Gate."""
    resolve = resolve_step(context)
    *packing, preprocess = preprocess_steps(context, resolve)
    tune = tune_step(context, preprocess)
    trials = trials_step(context, tune)
    tuned = tuned_hyperparameters(context, tune)
    hyperparameters = hyperparameters_of(context, preprocess) | tuned
    model_uri, training = best_model_uri(context, tune), []
    if context.parameters.tuning_continue_epochs is not None:
        hyperparameters.pop("use_pretrained_model", None)  # the best model comes with all its weights
        hyperparameters["epochs"] = context.parameters.tuning_continue_epochs.to_string()
        training = [train_step(context, preprocess, base_model_uri=model_uri, changed=hyperparameters)]
        model_uri = training[0].properties.ModelArtifacts.S3ModelArtifacts
    lineage = Lineage(
        model_uri=model_uri,
        hyperparameters=hyperparameters,
        metadata={
            "tuning_job": tune.properties.HyperParameterTuningJobName,
            **{f"tuned_{name}": value for name, value in tuned.items()},
        },
    )
    ending = registering_steps(context, resolve, preprocess, lineage, trials_uri=trials.properties.Outputs[TRIALS_URI])
    return [resolve, *packing, preprocess, tune, trials, *training, *ending]
