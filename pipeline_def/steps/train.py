"""Train: the built-in image classification algorithm or our own trainer, which takes the same contract."""

from __future__ import annotations

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep

from pipeline_def.sdk import training_arguments
from pipeline_def.steps.context import Context, job_retries
from pipeline_def.steps.processing import Text
from pipeline_def.steps.profiler import ProfiledTrainingStep, profiler_fields
from pipeline_def.steps.trainer import (
    hyperparameters_of,
    model_channel,
    model_trainer,
    pretrained_channels,
    record_channels,
)


def train_step(
    context: Context,
    preprocess: ProcessingStep,
    *,
    base_model_uri: Text | None = None,
    changed: dict[str, PipelineVariable] | None = None,
) -> TrainingStep:
    """Trains on the channels that Preprocess packed, with the facts about the data that it wrote.

    With `base_model_uri` it goes on from that model (incremental training); `changed` replaces hyperparameters.
    """
    hyperparameters = hyperparameters_of(context, preprocess) | (changed or {})
    trainer = model_trainer(context, output="train", hyperparameters=hyperparameters, with_checkpoints=True)
    channels = record_channels(preprocess)
    if base_model_uri is None:
        channels += pretrained_channels(context)
    else:
        channels.append(model_channel("model", base_model_uri))
        trainer.hyperparameters.pop("use_pretrained_model", None)
    trainer.input_data_config = channels
    return ProfiledTrainingStep(
        request_fields=profiler_fields(context),
        name="Train",
        display_name="Train the classifier" if base_model_uri is None else "Train the classifier on",
        description="Trains on the train channel and reports accuracy on the validation channel after each epoch.",
        step_args=training_arguments(trainer),
        # A checkpoint's place is part of the cache key, and of one execution alone.
        cache_config=None if context.settings.train.spot else context.cache(),
        retry_policies=job_retries(),
    )
