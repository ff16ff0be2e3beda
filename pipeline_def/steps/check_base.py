"""CheckBase: a Lambda step that refuses a base model of other classes or another network before training costs."""

from __future__ import annotations

from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import CHECK_BASE_FUNCTION_ARN, placeholder
from pipeline_def.steps.context import Context
from pipeline_def.steps.processing import output_uri
from pipeline_def.steps.resolve import BASE_MODEL_URI, text_output


def check_base_step(context: Context, resolve: LambdaStep, preprocess: ProcessingStep) -> LambdaStep:
    """Compares the base model's classes, depth and image size with those of the job; hands its URI on."""
    parameters = context.parameters
    return LambdaStep(
        name="CheckBase",
        display_name="Check the base model",
        description="Compares the base model's classes, network and image size with what is about to be trained.",
        lambda_func=Lambda(function_arn=placeholder(CHECK_BASE_FUNCTION_ARN), session=context.session),
        inputs={
            "base_model_uri": resolve.properties.Outputs[BASE_MODEL_URI],
            "dataset_uri": output_uri(preprocess, "dataset"),
            "num_layers": parameters.hyperparameters["num_layers"].to_string(),
            "image_size": parameters.image_size,
        },
        outputs=[text_output(BASE_MODEL_URI), text_output("checked")],
    )
