"""Package: what a registered version needs, brought to a prefix that no lifecycle rule expires."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.steps.context import MODELS_PREFIX, Context
from pipeline_def.steps.evaluate import evaluation_container
from pipeline_def.steps.processing import Text, output_uri, processing_step
from pipeline_def.steps.trainer import image_shape

PACKAGE_FILE = PropertyFile(name="Package", output_name="package", path="package.json")


def package_step(
    context: Context, preprocess: ProcessingStep, evaluate: ProcessingStep, *, model_uri: Text
) -> ProcessingStep:
    """Collects model, labels, metrics, drift baseline and report of a model that passed, with the artifact's hash."""
    parameters = context.parameters
    # For artifacts without a record of their training, which those of the built-in image are.
    network = [
        *("--num-layers", parameters.hyperparameters["num_layers"].to_string()),
        *("--image-shape", image_shape(context)),
    ]
    return processing_step(
        context,
        evaluation_container(context, "package", network),
        name="Package",
        display_name="Package the model",
        description="Copies model, labels, metrics, drift baseline and report to where registered versions are kept.",
        inputs={
            "model": model_uri,
            "evaluation": output_uri(evaluate, "evaluation"),
            "dataset": output_uri(preprocess, "dataset"),
        },
        outputs={"package": context.output("package", prefix=MODELS_PREFIX)},
        property_files=[PACKAGE_FILE],
    )
