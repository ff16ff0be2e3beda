"""Plan: a Lambda step that lists the images to classify and finds the model version that does it."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from pipeline_def.placeholders import PLAN_TRANSFORM_FUNCTION_ARN, placeholder
from pipeline_def.steps.context import TransformContext
from pipeline_def.steps.resolve import text_output

MODEL_PACKAGE_ARN, MODEL_VERSION = "model_package_arn", "model_version"
MODEL_FACTS_URI, LABELS_URI = "model_facts_uri", "labels_uri"
PLAN_URI, MANIFEST_URI = "plan_uri", "manifest_uri"


def plan_step(context: TransformContext) -> LambdaStep:
    """Never cached; writes the manifest that Transform reads and the listing that Join accounts for."""
    parameters = context.parameters
    texts = (MODEL_PACKAGE_ARN, MODEL_VERSION, MODEL_FACTS_URI, LABELS_URI, PLAN_URI, MANIFEST_URI, "listing_hash")
    return LambdaStep(
        name="Plan",
        display_name="List images, find the model",
        description="Lists the input prefix into a manifest and finds the approved model version that classifies it.",
        lambda_func=Lambda(function_arn=placeholder(PLAN_TRANSFORM_FUNCTION_ARN), session=context.session),
        inputs={
            "input_data_uri": parameters.input_data_uri,
            "model_version": parameters.model_version,
            "max_concurrent_transforms": parameters.max_concurrent_transforms,
            "max_payload_mb": context.settings.transform.max_payload_mb,
            "output_uri": context.output("plan"),
        },
        outputs=[
            *(text_output(name) for name in texts),
            LambdaOutput(output_name="object_count", output_type=LambdaOutputTypeEnum.Integer),
            LambdaOutput(output_name="skipped_count", output_type=LambdaOutputTypeEnum.Integer),
        ],
    )
