"""Train: the built-in image classification algorithm or our own trainer, which takes the same contract."""

from __future__ import annotations

from typing import Any

from sagemaker.core import image_uris
from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.shapes import OutputDataConfig, StoppingCondition
from sagemaker.core.training.configs import Compute, InputData, Networking
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

from pipeline_def.hyperparameters import table
from pipeline_def.placeholders import MXNET_IMAGE_URI, placeholder
from pipeline_def.sdk import STAND_IN_ROLE_ARN, training_arguments
from pipeline_def.steps.context import Context, job_retries
from pipeline_def.steps.preprocess import DATASET_FILE
from pipeline_def.steps.processing import json_value, output_uri

RECORDIO = "application/x-recordio"


def builtin_image_uri(region: str) -> str:
    """The registry path of AWS's image classification algorithm in a region; it also serves what it trained."""
    return str(image_uris.retrieve(framework="image-classification", region=region))


def train_step(context: Context, preprocess: ProcessingStep) -> TrainingStep:
    """Trains on the channels that Preprocess packed, with the facts about the data that it wrote."""
    settings = context.settings.train
    trainer = ModelTrainer(
        training_image=(
            builtin_image_uri(context.region) if settings.image == "builtin" else placeholder(MXNET_IMAGE_URI)
        ),
        role=STAND_IN_ROLE_ARN,
        sagemaker_session=context.session,
        base_job_name="train",
        compute=Compute(
            instance_type=context.parameters.training_instance_type,
            instance_count=1,
            volume_size_in_gb=settings.volume_size_gb,
        ),
        networking=Networking(enable_network_isolation=True),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=settings.max_runtime_minutes * 60),
        output_data_config=OutputDataConfig(s3_output_path=context.output("train")),
        hyperparameters=_hyperparameters(context, preprocess),
        input_data_config=[
            InputData(channel_name=channel, data_source=output_uri(preprocess, channel), content_type=RECORDIO)
            for channel in ("train", "validation")
        ],
    )
    return TrainingStep(
        name="Train",
        display_name="Train the classifier",
        description="Trains on the train channel and reports accuracy on the validation channel after each epoch.",
        step_args=training_arguments(trainer),
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )


def _hyperparameters(context: Context, preprocess: ProcessingStep) -> dict[str, Any]:
    parameters = context.parameters
    values: dict[str, PipelineVariable] = {
        name: parameter.to_string() for name, parameter in parameters.hyperparameters.items()
    }
    size = parameters.image_size
    values["image_shape"] = Join(on=",", values=["3", size, size])
    for name in ("num_classes", "num_training_samples"):
        values[name] = json_value(preprocess, DATASET_FILE, name).to_string()
    if context.settings.train.image in table()["seed"].images:
        values["seed"] = parameters.seed.to_string()
    return values
