"""Package: the served model and what a registered version needs, kept for good; and the smoke test of it."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import SERVE_IMAGE_URI
from pipeline_def.steps.context import MODELS_PREFIX, Context
from pipeline_def.steps.evaluate import evaluation_container
from pipeline_def.steps.processing import Text, output_uri, processing_step
from pipeline_def.steps.trainer import image_shape

PACKAGE_FILE = PropertyFile(name="Package", output_name="package", path="package.json")
# What the outputs hold: the training artifact with its scores and provenance, and what an endpoint serves.
PACKAGE, SERVING = "package", "serving"


def package_step(
    context: Context, preprocess: ProcessingStep, evaluate: ProcessingStep, *, model_uri: Text
) -> ProcessingStep:
    """Turns a model that passed into the served ONNX model, equal on the test set, and keeps what it came from."""
    parameters = context.parameters
    arguments = [
        # For artifacts without a record of their training, which those of the built-in image are.
        *("--num-layers", parameters.hyperparameters["num_layers"].to_string()),
        *("--image-shape", image_shape(context)),
        *("--precision", parameters.model_precision),
        *("--max-accuracy-drop", parameters.max_accuracy_drop.to_string()),
    ]
    if "accuracy" in parameters.gates:  # what the gate asks of the trained model holds for the served one too
        arguments += ["--min-accuracy", parameters.gates["accuracy"].to_string()]
    return processing_step(
        context,
        evaluation_container(context, "package", arguments),
        name="Package",
        display_name="Package the model",
        description="Converts the model to ONNX, asserts that it answers as before, and keeps it with its provenance.",
        inputs={
            "model": model_uri,
            "evaluation": output_uri(evaluate, "evaluation"),
            **{name: output_uri(preprocess, name) for name in ("dataset", "test", "validation")},
        },
        outputs={name: context.output(name, prefix=MODELS_PREFIX) for name in (PACKAGE, SERVING)},
        property_files=[PACKAGE_FILE],
    )


def smoke_test_step(context: Context, package: ProcessingStep) -> ProcessingStep:
    """Answers the packaged sample in the image that will serve the model, before the version is registered."""
    return processing_step(
        context,
        evaluation_container(context, "serve.smoke_test", image=SERVE_IMAGE_URI),
        name="SmokeTest",
        display_name="Try the serving container",
        description="Starts the server on the packaged model and checks its answer to the packaged sample.",
        inputs={SERVING: output_uri(package, SERVING)},
        outputs={"smoke_test": context.output("smoke-test")},
    )
