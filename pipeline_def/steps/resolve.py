"""Resolve: a Lambda step, never cached, that turns the state of S3 and the registry into values caching can see."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from pipeline_def.placeholders import RESOLVE_FUNCTION_ARN, placeholder
from pipeline_def.steps.context import Context

INPUT_URI, LISTING_HASH = "input_uri", "listing_hash"
CHAMPION_URI, CHAMPION_VERSION = "champion_uri", "champion_version"
BASE_MODEL_URI, BASE_VERSION = "base_model_uri", "base_version"


def resolve_step(context: Context) -> LambdaStep:
    """Lists the input prefix, and finds the champion and, where the pipeline retrains, the base model.

    Its output `listing_hash` changes with every image below `input_uri`.
    """
    texts = [INPUT_URI, LISTING_HASH, CHAMPION_URI, CHAMPION_VERSION]
    inputs = {"input_data_uri": context.parameters.input_data_uri}
    if context.parameters.base_model_uri is not None:
        inputs["base_model_uri"] = context.parameters.base_model_uri
        texts += [BASE_MODEL_URI, BASE_VERSION]
    return LambdaStep(
        name="Resolve",
        display_name="Resolve input data and models",
        description="Hashes the listing of the input prefix, so that changed images are packed anew; finds the newest "
        "approved model.",
        lambda_func=Lambda(function_arn=placeholder(RESOLVE_FUNCTION_ARN), session=context.session),
        inputs=inputs,
        outputs=[
            *(text_output(name) for name in texts),
            LambdaOutput(output_name="object_count", output_type=LambdaOutputTypeEnum.Integer),
            LambdaOutput(output_name="total_bytes", output_type=LambdaOutputTypeEnum.Integer),
        ],
    )


def text_output(name: str) -> LambdaOutput:
    """A function's output that is a text."""
    return LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String)
