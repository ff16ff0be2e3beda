"""Evaluate: exact metrics of the trained model on the test channel, beside those of the champion."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.declarations import threshold_name
from pipeline_def.parameters import PipelineParameters
from pipeline_def.placeholders import MXNET_IMAGE_URI
from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.steps.context import Context
from pipeline_def.steps.processing import Container, Text, output_uri, processing_step
from pipeline_def.steps.resolve import CHAMPION_URI, CHAMPION_VERSION

# Paths in the file that the gate reads.
WORSE_BY, FAILED_GATES = "champion.worse_by", "gate.failed"
EVALUATION_FILE = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")


def evaluate_step(
    context: Context, resolve: LambdaStep, preprocess: ProcessingStep, *, model_uri: Text, trials_uri: Text | None
) -> ProcessingStep:
    """Scores the model artifact and the champion on every record of the test channel, each counted once."""
    parameters = context.parameters
    arguments = [
        *("--top-k", parameters.top_k.to_string()),
        *("--threshold-precision", parameters.threshold_precision.to_string()),
        *("--champion-version", resolve.properties.Outputs[CHAMPION_VERSION]),
        *gate_arguments(parameters),
    ]
    inputs = {
        "model": model_uri,
        "test": output_uri(preprocess, "test"),
        "dataset": output_uri(preprocess, "dataset"),
        "champion": resolve.properties.Outputs[CHAMPION_URI],
    }
    if trials_uri is not None:
        inputs["trials"] = trials_uri
    return processing_step(
        context,
        evaluation_container(context, "evaluate", arguments),
        name="Evaluate",
        display_name="Evaluate on the test set",
        description="Counts every test record once: metrics, calibration, comparison with the champion, report.",
        inputs=inputs,
        outputs={"evaluation": context.output("evaluate", "evaluation")},
        property_files=[EVALUATION_FILE],
    )


def gate_arguments(parameters: PipelineParameters) -> list[Text]:
    """What the gate compares, told to Evaluate so that it can say in words which of it does not hold."""
    arguments: list[Text] = []
    for metric, threshold in parameters.gates.items():
        option = "--at-least" if GATE_METRICS[metric] else "--at-most"
        arguments += [option, metric, threshold_name(metric), threshold.to_string()]
    return [*arguments, "--at-most", WORSE_BY, "ChampionMargin", parameters.champion_margin.to_string()]


def evaluation_container(
    context: Context, program: str, arguments: list[Text] | None = None, *, image: str = MXNET_IMAGE_URI
) -> Container:
    """A program on the machine that the settings give to evaluation and packaging, by default of the MXNet image."""
    settings = context.settings.evaluate
    return Container(
        program=program,
        image=image,
        instance_type=context.parameters.evaluation_instance_type,
        volume_size_gb=settings.volume_size_gb,
        max_runtime_minutes=settings.max_runtime_minutes,
        arguments=arguments or [],
    )
