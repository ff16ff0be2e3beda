"""Register: a model package in the group, with its metrics and with where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.model_registry import create_model_package_from_containers, get_model_package_args
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep

from pipeline_def.placeholders import MODEL_PACKAGE_GROUP_NAME, placeholder
from pipeline_def.steps.context import Context, service_retries
from pipeline_def.steps.package import PACKAGE_FILE
from pipeline_def.steps.processing import json_value, output_uri
from pipeline_def.steps.train import builtin_image_uri

CONTENT_TYPES: Final = ["image/jpeg", "image/png", "application/x-image"]
DEFINITION_VERSION: Final = "definition-version"  # replaced by the hash of the definition that holds it


@dataclass(frozen=True)
class _Model:
    """Stands where the SDK's ModelStep looks up its session; the request itself is complete without a model."""

    sagemaker_session: PipelineSession


def register_step(context: Context, train: TrainingStep, package: ProcessingStep) -> ModelStep:
    """Registers what `package` collected; every URI of the version lies below the prefix that never expires."""
    registry = context.settings.registry
    context.session.init_model_step_arguments(_Model(context.session))
    request = get_model_package_args(
        CONTENT_TYPES,
        ["application/json"],
        inference_instances=list(registry.inference_instance_types),
        transform_instances=list(registry.transform_instance_types),
        model_package_group_name=placeholder(MODEL_PACKAGE_GROUP_NAME),
        model_metrics=ModelMetrics(
            model_statistics=MetricsSource(
                content_type="application/json", s3_uri=_packaged(package, "evaluation.json")
            )
        ),
        approval_status=context.parameters.model_approval_status,
        container_def_list=[
            # The built-in image serves this artifact layout, whichever trainer wrote it.
            {"Image": builtin_image_uri(context.region), "ModelDataUrl": _packaged(package, "model.tar.gz")}
        ],
        customer_metadata_properties=_metadata(train, package),
        domain="COMPUTER_VISION",
        task="IMAGE_CLASSIFICATION",
    )
    return ModelStep(
        name="Register",
        display_name="Register the model",
        description="Adds a version to the model package group; a person approves it.",
        step_args=create_model_package_from_containers(context.session, **request),
        retry_policies=service_retries(),
    )


def _packaged(package: ProcessingStep, file: str) -> PipelineVariable:
    return Join(on="/", values=[output_uri(package, "package"), file])


def _metadata(train: TrainingStep, package: ProcessingStep) -> dict[str, str | PipelineVariable]:
    """Customer metadata: 50 entries at most, values up to 256 characters of letters, digits, space and _.:/=+-@."""
    return {
        "content_hash": json_value(package, PACKAGE_FILE, "content_hash").to_string(),
        "num_classes": json_value(package, PACKAGE_FILE, "num_classes").to_string(),
        "labels_uri": _packaged(package, "labels.json"),
        "report_uri": _packaged(package, "report.html"),
        "training_artifact_uri": train.properties.ModelArtifacts.S3ModelArtifacts,
        "training_artifact_sha256": json_value(package, PACKAGE_FILE, "training_artifact_sha256").to_string(),
        "execution_id": ExecutionVariables.PIPELINE_EXECUTION_ID,
        "definition_version": DEFINITION_VERSION,
    }
