"""What must hold of the pipeline that classifies with a registered version."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from definition_walk import resolved_steps
from environment_definitions import definition_of
from pydantic import ValidationError

from local.executor.definition import Definition
from local.executor.expressions import references
from pipeline_def.settings import PipelineSettings
from pipeline_def.settings.transform import TransformSettings

REQUESTS = {
    "Model": ("CreateModel", {"ModelName": "model"}),
    "Transform": ("CreateTransformJob", {"TransformJobName": "job"}),
    "Processing": ("CreateProcessingJob", {"ProcessingJobName": "job"}),
}
EXECUTION = "s3://imgpipe-artifacts/executions/abc123def456"


@pytest.fixture(scope="module")
def definition() -> str:
    return definition_of("dev", "transform")


@pytest.fixture(scope="module")
def steps(definition: str) -> dict[str, dict[str, Any]]:
    return resolved_steps(definition)


def test_steps_are_the_designed_ones_in_order(definition: str) -> None:
    parsed = Definition.parse(definition).steps
    assert [step.name for step in parsed] == ["Plan", "CreateModel", "Transform", "Join"]
    assert {step.name: set(step.depends_on) for step in parsed} == {
        "Plan": set(),
        "CreateModel": {"Plan"},
        "Transform": {"Plan", "CreateModel"},
        "Join": {"Plan", "Transform"},
    }


def test_every_declared_parameter_is_referenced_and_every_reference_declared(definition: str) -> None:
    document = json.loads(definition)
    declared = {parameter["Name"] for parameter in document["Parameters"]}
    referenced = {name.removeprefix("Parameters.") for name in references(document) if name.startswith("Parameters.")}
    assert referenced == declared


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("InputDataUri", "s3://imgpipe-data/datasets/other/"),
        ("ModelVersion", "2"),
        ("TransformInstanceType", "ml.c5.large"),
        ("TransformInstanceCount", "3"),
        ("MaxConcurrentTransforms", "4"),
        ("TransformTopK", "1"),
        ("JoinInstanceType", "ml.c5.large"),
    ],
)
def test_an_override_changes_the_resolved_arguments(definition: str, steps: Any, name: str, value: str) -> None:
    assert resolved_steps(definition, overrides={name: value}) != steps


def test_resolved_arguments_are_accepted_by_the_service_model(steps: dict[str, dict[str, Any]]) -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    for name in ("CreateModel", "Transform", "Join"):
        operation, added = REQUESTS[steps[name]["Type"]]
        shape = model.operation_model(operation).input_shape
        report = ParamValidator().validate(steps[name]["Arguments"] | added, shape)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"


def test_the_model_is_the_packages_isolated_and_answers_refusals(steps: dict[str, dict[str, Any]]) -> None:
    model = steps["CreateModel"]["Arguments"]
    assert model["EnableNetworkIsolation"] is True
    [container] = model["Containers"]
    assert container["ModelPackageName"].endswith(":model-package/imgpipe-dev/3")
    assert container["Environment"] == {
        "IMGPIPE_ANSWER_ERRORS": "true",
        "IMGPIPE_MAX_PAYLOAD_BYTES": str(6 * 2**20),
        "IMGPIPE_MODEL_NAME": "imgpipe-dev-v3",
    }


def test_one_image_in_a_request_and_answers_below_the_execution(steps: dict[str, dict[str, Any]]) -> None:
    job = steps["Transform"]["Arguments"]
    assert job["TransformInput"] == {
        "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"{EXECUTION}/plan/manifest.json"}},
        "ContentType": "application/x-image",
        "SplitType": "None",
    }
    assert (job["BatchStrategy"], job["MaxPayloadInMB"]) == ("SingleRecord", 6)
    assert job["TransformOutput"]["S3OutputPath"] == f"{EXECUTION}/transform"
    assert job["TransformResources"] == {"InstanceType": "ml.m5.large", "InstanceCount": 1}


def test_join_reads_plan_answers_and_what_is_known_of_the_model(steps: dict[str, dict[str, Any]]) -> None:
    job = steps["Join"]["Arguments"]
    assert {item["InputName"]: item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"]} == {
        "plan": f"{EXECUTION}/plan/plan/",
        "answers": f"{EXECUTION}/transform",
        "model": "s3://imgpipe-artifacts/models/3/serving/model.json",
        "labels": "s3://imgpipe-artifacts/models/3/package/labels.json",
    }
    assert job["AppSpecification"]["ContainerEntrypoint"] == ["python", "-m", "join"]
    assert job["NetworkConfig"]["EnableNetworkIsolation"] is True


def test_images_at_a_time_times_their_size_have_a_limit() -> None:
    with pytest.raises(ValidationError, match=r"max_concurrent_transforms 20 times max_payload_mb 6 is 120 MB"):
        TransformSettings(max_concurrent_transforms=20)
    assert PipelineSettings().transform.max_payload_mb == 6
