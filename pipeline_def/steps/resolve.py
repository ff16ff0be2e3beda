"""Resolve: a Lambda step, never cached, that turns the state of S3 into values that later steps' caching can see."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep

from pipeline_def.placeholders import RESOLVE_FUNCTION_ARN, placeholder
from pipeline_def.steps.context import Context

INPUT_URI, LISTING_HASH = "input_uri", "listing_hash"


def resolve_step(context: Context) -> LambdaStep:
    """Lists the input prefix; its output `listing_hash` changes with every image below `input_uri`."""
    return LambdaStep(
        name="Resolve",
        display_name="Resolve input data",
        description="Lists the input prefix and hashes names, sizes and ETags, so that changed images are packed anew.",
        lambda_func=Lambda(function_arn=placeholder(RESOLVE_FUNCTION_ARN), session=context.session),
        inputs={"input_data_uri": context.parameters.input_data_uri},
        outputs=[
            LambdaOutput(output_name=INPUT_URI, output_type=LambdaOutputTypeEnum.String),
            LambdaOutput(output_name=LISTING_HASH, output_type=LambdaOutputTypeEnum.String),
            LambdaOutput(output_name="object_count", output_type=LambdaOutputTypeEnum.Integer),
            LambdaOutput(output_name="total_bytes", output_type=LambdaOutputTypeEnum.Integer),
        ],
    )
