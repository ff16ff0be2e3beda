"""A training job as a single step and a tuning job share it: image, machine, channels, hyperparameters, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sagemaker.core import image_uris
from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.shapes import (
    Channel,
    CheckpointConfig,
    DataSource,
    MetricDefinition,
    OutputDataConfig,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.training.configs import Compute, Networking
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.steps import ProcessingStep
from sagemaker.train import ModelTrainer

from pipeline_def.hyperparameters import table
from pipeline_def.placeholders import MXNET_GPU_IMAGE_URI, MXNET_IMAGE_URI, placeholder
from pipeline_def.sdk import STAND_IN_ROLE_ARN
from pipeline_def.steps.context import Context
from pipeline_def.steps.preprocess import DATASET_FILE
from pipeline_def.steps.processing import Text, json_value, output_uri

RECORDIO: Final = "application/x-recordio"
# Content type of the channel `model`: "Incremental Training" in the built-in algorithm's documentation.
MODEL: Final = "application/x-sagemaker-model"
OBJECTIVE: Final = "validation:accuracy"
_NUMBER: Final = r"([0-9.eE+-]+|nan)"
# What the trainer prints, as CloudWatch and the tuner find it; the built-in algorithm brings its own definitions.
METRICS: Final = {
    f"{split.lower()}:{metric}": rf"Epoch\[\d+\] {split}-{metric}={_NUMBER}"
    for split in ("Train", "Validation")
    for metric in ("accuracy", "cross-entropy", "f1")
}


def builtin_image_uri(region: str) -> str:
    """The registry path of AWS's image classification algorithm in a region; it also serves what it trained."""
    return str(image_uris.retrieve(framework="image-classification", region=region))


def trainer_image(context: Context) -> str:
    """The image that trains: AWS's, or ours for a CPU or a GPU."""
    settings = context.settings.train
    if settings.image == "builtin":
        return builtin_image_uri(context.region)
    return placeholder(MXNET_GPU_IMAGE_URI if settings.on_gpu_trainer else MXNET_IMAGE_URI)


def model_trainer(
    context: Context, *, output: str, hyperparameters: Mapping[str, PipelineVariable], with_checkpoints: bool
) -> ModelTrainer:
    """The job without its channels; `output` names the place of its artifacts below the execution's prefix."""
    settings = context.settings.train
    spot = settings.spot and with_checkpoints
    trainer = ModelTrainer(
        training_image=trainer_image(context),
        role=STAND_IN_ROLE_ARN,
        sagemaker_session=context.session,
        base_job_name="train",
        compute=Compute(
            instance_type=context.parameters.training_instance_type,
            instance_count=settings.instance_count,
            volume_size_in_gb=settings.volume_size_gb,
            enable_managed_spot_training=True if spot else None,
        ),
        networking=Networking(enable_network_isolation=True),
        stopping_condition=StoppingCondition(
            max_runtime_in_seconds=settings.max_runtime_minutes * 60,
            max_wait_time_in_seconds=settings.max_wait_minutes * 60 if spot else None,
        ),
        training_input_mode=settings.input_mode,
        output_data_config=OutputDataConfig(s3_output_path=context.output(output)),
        # Of this execution alone: another's checkpoints would be of another job.
        checkpoint_config=CheckpointConfig(s3_uri=context.output("checkpoints", output)) if spot else None,
        hyperparameters=dict(hyperparameters),
    )
    if settings.image == "own":
        trainer.with_metric_definitions(metric_definitions())
    return trainer


def metric_definitions() -> list[MetricDefinition]:
    """The metrics of our own trainer's log."""
    return [MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()]


def record_channels(preprocess: ProcessingStep) -> list[Channel]:
    """The channels that Preprocess packed."""
    return [_channel(name, output_uri(preprocess, name), RECORDIO) for name in ("train", "validation")]


def model_channel(name: str, uri: Text) -> Channel:
    """A channel with a model.tar.gz, always as a file."""
    return _channel(name, uri, MODEL, input_mode="File")


def pretrained_channels(context: Context) -> Sequence[Channel]:
    """The weights to start from, where the settings give some."""
    uri = context.parameters.pretrained_model_uri
    return [] if uri is None else [model_channel("pretrained", uri)]


def image_shape(context: Context) -> PipelineVariable:
    """The network's input as the hyperparameter image_shape has it: 3,HEIGHT,WIDTH."""
    size = context.parameters.image_size
    return Join(on=",", values=["3", size, size])


def hyperparameters_of(context: Context, preprocess: ProcessingStep) -> dict[str, PipelineVariable]:
    """All hyperparameters as they go over the wire: strings, with the facts about the data that Preprocess wrote."""
    parameters = context.parameters
    values: dict[str, PipelineVariable] = {
        name: parameter.to_string() for name, parameter in parameters.hyperparameters.items()
    }
    values["image_shape"] = image_shape(context)
    for name in ("num_classes", "num_training_samples"):
        values[name] = json_value(preprocess, DATASET_FILE, name).to_string()
    if context.settings.train.image in table()["seed"].images:
        values["seed"] = parameters.seed.to_string()
    if parameters.pretrained_model_uri is not None:
        values["use_pretrained_model"] = "1"
    return values


def _channel(name: str, uri: Text, content_type: str, *, input_mode: str | None = None) -> Channel:
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated")
    fields = {"input_mode": input_mode} if input_mode else {}
    return Channel(
        channel_name=name, content_type=content_type, data_source=DataSource(s3_data_source=source), **fields
    )
