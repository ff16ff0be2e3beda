"""Pipeline `train`: from images to a registered model."""

from __future__ import annotations

from typing import Any

from pipeline_def.pipelines.registering import registering_steps
from pipeline_def.steps.context import Context
from pipeline_def.steps.preprocess import preprocess_steps
from pipeline_def.steps.register import Lineage
from pipeline_def.steps.resolve import resolve_step
from pipeline_def.steps.train import train_step
from pipeline_def.steps.trainer import hyperparameters_of


def steps(context: Context) -> list[Any]:
    """Resolve, Pack where several instances pack, Preprocess, Train, Evaluate, Gate."""
    resolve = resolve_step(context)
    *packing, preprocess = preprocess_steps(context, resolve)
    train = train_step(context, preprocess)
    lineage = Lineage(
        model_uri=train.properties.ModelArtifacts.S3ModelArtifacts,
        hyperparameters=hyperparameters_of(context, preprocess),
    )
    return [resolve, *packing, preprocess, train, *registering_steps(context, resolve, preprocess, lineage)]
