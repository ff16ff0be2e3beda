"""Preprocess: class folders of images become RecordIO channels and dataset.json."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import IMAGING_IMAGE_URI
from pipeline_def.steps.context import Context
from pipeline_def.steps.processing import Container, processing_step
from pipeline_def.steps.resolve import INPUT_URI, LISTING_HASH

DATASET_FILE = PropertyFile(name="Dataset", output_name="dataset", path="dataset.json")


def preprocess_step(context: Context, resolve: LambdaStep) -> ProcessingStep:
    """Packs `InputDataUri`; outputs train, validation and test (one .rec each) and dataset (facts and indexes)."""
    settings, parameters = context.settings.preprocess, context.parameters
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
    }
    container = Container(
        program="preprocess",
        image=IMAGING_IMAGE_URI,
        instance_type=parameters.processing_instance_type,
        volume_size_gb=settings.volume_size_gb,
        max_runtime_minutes=settings.max_runtime_minutes,
        arguments=[text for option, value in options.items() for text in (option, value.to_string())],
        # Only to reach the cache key, which holds the environment but not the content below the input prefix.
        environment={"LISTING_HASH": resolve.properties.Outputs[LISTING_HASH]},
    )
    return processing_step(
        context,
        container,
        name="Preprocess",
        display_name="Pack images",
        description="Splits the class folders into train, validation and test and packs them as MXNet RecordIO.",
        inputs={"data": resolve.properties.Outputs[INPUT_URI]},
        outputs={name: context.output("preprocess", name) for name in ("train", "validation", "test", "dataset")},
        property_files=[DATASET_FILE],
    )
