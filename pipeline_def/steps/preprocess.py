"""Preprocess: class folders of images become RecordIO channels and dataset.json."""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import IMAGING_IMAGE_URI
from pipeline_def.settings import GROUP_BY_OPTION
from pipeline_def.steps.context import Context
from pipeline_def.steps.processing import Container, Text, output_uri, processing_step
from pipeline_def.steps.resolve import INPUT_URI, LISTING_HASH

DATASET_FILE = PropertyFile(name="Dataset", output_name="dataset", path="dataset.json")


def preprocess_steps(context: Context, resolve: LambdaStep) -> list[ProcessingStep]:
    """Packs `InputDataUri`. The last step, Preprocess, has the outputs train, validation, test (a .rec each), dataset.

    With one instance it is the only step. With several, Pack deals the images out to them, and Preprocess merges what
    they packed: only it sees all images, so only it can find duplicates and divide the classes exactly.
    """
    images = resolve.properties.Outputs[INPUT_URI]
    if context.settings.preprocess.instance_count == 1:
        description = "Splits the class folders into train, validation and test and packs them as MXNet RecordIO."
        return [_preprocess(context, resolve, "preprocess", "Pack images", description, inputs={"data": images})]
    pack = processing_step(
        context,
        _container(context, resolve, "preprocess.shard", context.settings.preprocess.instance_count),
        name="Pack",
        display_name="Pack shards",
        description="Decodes and packs the images on several instances, each its share, into a pool with an index.",
        inputs={"data": images},
        sharded=["data"],
        outputs={"pool": context.output("preprocess", "pool")},
    )
    description = "Splits the pool into train, validation and test, decoding nothing, and joins it as MXNet RecordIO."
    inputs = {"pool": output_uri(pack, "pool")}
    return [pack, _preprocess(context, resolve, "preprocess.merge", "Merge shards", description, inputs=inputs)]


def _preprocess(
    context: Context, resolve: LambdaStep, program: str, display_name: str, description: str, *, inputs: dict[str, Text]
) -> ProcessingStep:
    return processing_step(
        context,
        _container(context, resolve, program),
        name="Preprocess",
        display_name=display_name,
        description=description,
        inputs=inputs,
        outputs={name: context.output("preprocess", name) for name in ("train", "validation", "test", "dataset")},
        property_files=[DATASET_FILE],
    )


def _container(context: Context, resolve: LambdaStep, program: str, instance_count: int = 1) -> Container:
    settings = context.settings.preprocess
    return Container(
        program=program,
        image=IMAGING_IMAGE_URI,
        instance_type=context.parameters.processing_instance_type,
        instance_count=instance_count,
        volume_size_gb=settings.volume_size_gb,
        max_runtime_minutes=settings.max_runtime_minutes,
        arguments=_arguments(context),
        # Only to reach the cache key, which holds the environment but not the content below the input prefix.
        environment={"LISTING_HASH": resolve.properties.Outputs[LISTING_HASH]},
    )


def _arguments(context: Context) -> Sequence[Text]:
    parameters = context.parameters
    options = {
        "--image-size": parameters.image_size,
        "--resize": parameters.resize,
        "--validation-fraction": parameters.validation_fraction,
        "--test-fraction": parameters.test_fraction,
        "--images-per-class": parameters.images_per_class,
        "--seed": parameters.seed,
        "--record-format": parameters.record_format,
        "--quality": parameters.quality,
        "--max-rejected-fraction": parameters.max_rejected_fraction,
        "--crop": parameters.crop,
        "--pass-through": parameters.pass_through,
        "--convert-icc": parameters.convert_icc,
    }
    return [
        *(text for option, value in options.items() for text in (option, value.to_string())),
        # One argument: an expression may begin with a dash, and an empty one must not be lost on its way.
        Join(on="", values=[GROUP_BY_OPTION, parameters.group_by]),
    ]
