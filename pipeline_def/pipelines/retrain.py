"""Pipeline `retrain`: incremental training of an earlier model on the images that there are now."""

from __future__ import annotations

from typing import Any

from pipeline_def.pipelines.registering import registering_steps
from pipeline_def.steps.check_base import check_base_step
from pipeline_def.steps.context import Context
from pipeline_def.steps.preprocess import preprocess_steps
from pipeline_def.steps.register import Lineage
from pipeline_def.steps.resolve import BASE_MODEL_URI, BASE_VERSION, resolve_step
from pipeline_def.steps.train import train_step
from pipeline_def.steps.trainer import hyperparameters_of


def steps(context: Context) -> list[Any]:
    """Resolve, Pack where several instances pack, Preprocess, CheckBase, Train, Evaluate, Gate."""
    resolve = resolve_step(context)
    *packing, preprocess = preprocess_steps(context, resolve)
    check = check_base_step(context, resolve, preprocess)
    base = check.properties.Outputs[BASE_MODEL_URI]
    train = train_step(context, preprocess, base_model_uri=base)
    lineage = Lineage(
        model_uri=train.properties.ModelArtifacts.S3ModelArtifacts,
        hyperparameters=hyperparameters_of(context, preprocess),
        metadata={"base_model_uri": base, "base_version": resolve.properties.Outputs[BASE_VERSION]},
    )
    return [resolve, *packing, preprocess, check, train, *registering_steps(context, resolve, preprocess, lineage)]
