"""Join: a processing job that pairs every image's key with its answer."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep, TransformStep

from pipeline_def.placeholders import IMAGING_IMAGE_URI
from pipeline_def.steps.context import TransformContext
from pipeline_def.steps.plan_transform import (
    LABELS_URI,
    MODEL_FACTS_URI,
    PLAN_URI,
)
from pipeline_def.steps.processing import Container, processing_step

TRANSFORM_FILE = PropertyFile(name="Predictions", output_name="predictions", path="transform.json")


def join_step(context: TransformContext, plan: LambdaStep, transform: TransformStep) -> ProcessingStep:
    """Writes predictions.csv, predictions.jsonl, failures.csv and transform.json."""
    found, settings = plan.properties.Outputs, context.settings.transform
    container = Container(
        program="join",
        image=IMAGING_IMAGE_URI,
        instance_type=context.parameters.join_instance_type,
        volume_size_gb=settings.join_volume_size_gb,
        max_runtime_minutes=settings.join_max_runtime_minutes,
        arguments=["--top-k", context.parameters.top_k.to_string()],
    )
    return processing_step(
        context,
        container,
        name="Join",
        display_name="Join answers with keys",
        description="Pairs every listed image with its answer; one that was not classified is named with its reason.",
        inputs={
            "plan": found[PLAN_URI],
            "answers": transform.properties.TransformOutput.S3OutputPath,
            "model": found[MODEL_FACTS_URI],
            "labels": found[LABELS_URI],
        },
        outputs={"predictions": context.output("predictions")},
        property_files=[TRANSFORM_FILE],
    )
