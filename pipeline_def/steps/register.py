"""Register: a model package in the group, with its metrics, its drift baseline, its card and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.model_registry import create_model_package_from_containers, get_model_package_args
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import (
    IMAGING_IMAGE_URI,
    MODEL_PACKAGE_GROUP_NAME,
    MXNET_IMAGE_URI,
    SERVE_IMAGE_URI,
    placeholder,
)
from pipeline_def.steps.context import Context, service_retries
from pipeline_def.steps.model_card import model_card
from pipeline_def.steps.package import PACKAGE, PACKAGE_FILE, SERVING
from pipeline_def.steps.processing import Text, json_value, output_uri
from pipeline_def.steps.trainer import trainer_image

CONTENT_TYPES: Final = ["image/jpeg", "image/png", "application/x-image", "application/json"]
DEFINITION_VERSION: Final = "definition-version"  # replaced by the hash of the definition that holds it
JSON: Final = "application/json"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a model came from: the training artifact, and what only its own pipeline knows, by metadata key."""

    model_uri: Text
    hyperparameters: Mapping[str, Text]
    metadata: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class _Model:
    """Stands where the SDK's ModelStep looks up its session; the request itself is complete without a model."""

    sagemaker_session: PipelineSession


def register_step(
    context: Context,
    preprocess: ProcessingStep,
    evaluate: ProcessingStep,
    package: ProcessingStep,
    smoke_test: ProcessingStep,
    lineage: Lineage,
) -> ModelStep:
    """Registers what `package` collected; every URI of the version lies below the prefix that never expires."""
    registry = context.settings.registry
    context.session.init_model_step_arguments(_Model(context.session))
    baseline = MetricsSource(content_type=JSON, s3_uri=_packaged(package, "baseline.json"))
    request = get_model_package_args(
        CONTENT_TYPES,
        [JSON],
        inference_instances=list(registry.inference_instance_types),
        transform_instances=list(registry.transform_instance_types),
        model_package_group_name=placeholder(MODEL_PACKAGE_GROUP_NAME),
        model_metrics=ModelMetrics(
            model_statistics=MetricsSource(content_type=JSON, s3_uri=_packaged(package, "evaluation.json")),
            model_data_statistics=baseline,
        ),
        drift_check_baselines=DriftCheckBaselines(model_data_statistics=baseline),
        approval_status=context.parameters.model_approval_status,
        container_def_list=[
            {"Image": placeholder(SERVE_IMAGE_URI), "ModelDataUrl": _packaged(package, "model.tar.gz", SERVING)}
        ],
        customer_metadata_properties=_metadata(context, package, lineage),
        domain="COMPUTER_VISION",
        task="IMAGE_CLASSIFICATION",
    )
    request["model_card"] = model_card(context, preprocess, evaluate, lineage.hyperparameters)
    return ModelStep(
        name="Register",
        display_name="Register the model",
        description="Adds a version to the model package group; a person approves it.",
        step_args=create_model_package_from_containers(context.session, **request),
        retry_policies=service_retries(),
        depends_on=[smoke_test],
    )


def _packaged(package: ProcessingStep, file: str, output: str = PACKAGE) -> PipelineVariable:
    return Join(on="/", values=[output_uri(package, output), file])


def _served(package: ProcessingStep, path: str) -> Text:
    """A fact about the served model, from package.json."""
    return json_value(package, PACKAGE_FILE, f"serving.{path}").to_string()


def _metadata(context: Context, package: ProcessingStep, lineage: Lineage) -> dict[str, Text]:
    """Customer metadata: 50 entries at most, values up to 256 characters of letters, digits, space and _.:/=+-@."""
    return {
        "content_hash": json_value(package, PACKAGE_FILE, "content_hash").to_string(),
        "num_classes": json_value(package, PACKAGE_FILE, "num_classes").to_string(),
        "labels_uri": _packaged(package, "labels.json"),
        "report_uri": _packaged(package, "report.html"),
        "evaluation_uri": _packaged(package, "evaluation.json"),
        "baseline_uri": _packaged(package, "baseline.json"),
        "sample_uri": _packaged(package, "sample.json", SERVING),
        "served_model_sha256": _served(package, "model_sha256"),
        "served_precision": _served(package, "precision"),
        "served_accuracy": _served(package, "accuracy"),
        "image_shape": _served(package, "image_shape"),
        "resize": _served(package, "resize"),
        # The copy that never expires: retraining starts from it, and it is the champion of later evaluations.
        "training_artifact_uri": _packaged(package, "model.tar.gz"),
        "training_artifact_sha256": json_value(package, PACKAGE_FILE, "training_artifact_sha256").to_string(),
        "execution_id": ExecutionVariables.PIPELINE_EXECUTION_ID,
        "pipeline": ExecutionVariables.PIPELINE_NAME,
        "definition_version": DEFINITION_VERSION,
        # Tags of our images are hashes of their content.
        "imaging_image": placeholder(IMAGING_IMAGE_URI),
        "mxnet_image": placeholder(MXNET_IMAGE_URI),
        "serve_image": placeholder(SERVE_IMAGE_URI),
        "trainer_image": trainer_image(context),
        **lineage.metadata,
    }
