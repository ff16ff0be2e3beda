"""Evaluate: exact metrics of the trained model on the test channel, as evaluation.json and report.html."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep

from pipeline_def.placeholders import MXNET_IMAGE_URI
from pipeline_def.steps.context import Context
from pipeline_def.steps.processing import Container, Text, output_uri, processing_step

EVALUATION_FILE = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")


def evaluate_step(context: Context, preprocess: ProcessingStep, train: TrainingStep) -> ProcessingStep:
    """Scores the model artifact of `train` on every record of the test channel, each counted once."""
    return processing_step(
        context,
        evaluation_container(context, "evaluate", ["--top-k", context.parameters.top_k.to_string()]),
        name="Evaluate",
        display_name="Evaluate on the test set",
        description="Counts every test record once: accuracy, per-class metrics, confusion matrix, ROC, report.",
        inputs={
            "model": train.properties.ModelArtifacts.S3ModelArtifacts,
            "test": output_uri(preprocess, "test"),
            "dataset": output_uri(preprocess, "dataset"),
        },
        outputs={"evaluation": context.output("evaluate", "evaluation")},
        property_files=[EVALUATION_FILE],
    )


def evaluation_container(context: Context, program: str, arguments: list[Text] | None = None) -> Container:
    """A program of the MXNet image on the machine that the settings give to evaluation and packaging."""
    settings = context.settings.evaluate
    return Container(
        program=program,
        image=MXNET_IMAGE_URI,
        instance_type=context.parameters.evaluation_instance_type,
        volume_size_gb=settings.volume_size_gb,
        max_runtime_minutes=settings.max_runtime_minutes,
        arguments=arguments or [],
    )
