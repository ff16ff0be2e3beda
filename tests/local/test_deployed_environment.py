"""The stacks of dev in an emulated account: what is created, and the real functions in it."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from local.assembly import CloudAssembly
from local.emulator.account import EmulatedAccount
from local.executor.execution import SUPPORTED
from local.executor.expressions import Scope, StepOutcome
from local.gates import EVALUATION, METRICS
from local.pipeline import PIPELINE_OUTPUTS, DeployedPipeline, deployed_name
from local.run import DATA_PARAMETER
from local.summary import DATASET, PREDICTIONS
from pipeline_def.settings.evaluate import GATE_METRICS

FILES = {
    "Dataset": {
        "num_classes": 2,
        "num_training_samples": 8,
        "content_hash": "sha256:a",
        "counts": {"train": 8, "validation": 1, "test": 1},
    },
    "Evaluation": {
        "metrics": {name: {"value": 0.5} for name in GATE_METRICS},
        "champion": {"worse_by": 0.0},
        "gate": {"failed": ""},
    },
    "Package": {
        "content_hash": "sha256:a",
        "num_classes": 2,
        "training_artifact_sha256": "b" * 64,
        "serving": {
            "model_sha256": "c" * 64,
            "precision": "fp32",
            "accuracy": 0.91,
            "image_shape": "3x64x64",
            "resize": "64",
        },
    },
}


BEST = {
    "TrainingJobName": "tuning-job-001",
    "TunedHyperParameters": {"learning_rate": "0.01", "weight_decay": "0.001", "optimizer": "nag"},
}


PLANNED = {
    "model_package_arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/3",
    "model_version": "3",
    "model_facts_uri": "s3://b/models/x/serving/model.json",
    "labels_uri": "s3://b/models/x/package/labels.json",
    "plan_uri": "s3://b/executions/x/plan/plan/",
    "manifest_uri": "s3://b/executions/x/plan/manifest.json",
    "skipped_count": 0,
}


@pytest.fixture
def outputs(account: EmulatedAccount, assembly: CloudAssembly) -> dict[str, str]:
    """Those of the stacks that the pipelines need."""
    return account.deploy(assembly.up_to("training"))


@pytest.fixture(params=PIPELINE_OUTPUTS)
def pipeline(account: EmulatedAccount, outputs: dict[str, str], request: pytest.FixtureRequest) -> DeployedPipeline:
    return DeployedPipeline.read(account, deployed_name(request.param, outputs))


def test_the_stacks_are_created_without_network(
    account: EmulatedAccount, assembly: CloudAssembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    outputs = account.deploy(assembly)
    buckets = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    assert {outputs["DataBucketName"], outputs["ArtifactBucketName"]} <= buckets
    sagemaker = account.client("sagemaker")
    deployed = {item["PipelineName"] for item in sagemaker.list_pipelines()["PipelineSummaries"]}
    assert deployed == {outputs[output] for output in PIPELINE_OUTPUTS.values()}
    groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == [outputs["ModelPackageGroupName"]]
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackStatus"] for stack in stacks} == {"CREATE_COMPLETE"}


def test_every_resource_of_the_templates_exists(account: EmulatedAccount, assembly: CloudAssembly) -> None:
    account.deploy(assembly)
    for stack in assembly.stacks:
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack.name)
        created = {item["LogicalResourceId"] for page in pages for item in page["StackResourceSummaries"]}
        wanted = {key for key, item in stack.template["Resources"].items() if item["Type"] != "AWS::CDK::Metadata"}
        assert wanted <= created


def test_the_stacks_can_be_updated_and_deleted(account: EmulatedAccount, assembly: CloudAssembly) -> None:
    needed = assembly.up_to("training")
    outputs, stack = account.deploy(needed), needed.stacks[-1]
    cloudformation = account.client("cloudformation")
    template = json.dumps(stack.template).replace("Image classification:", "Images:")
    cloudformation.update_stack(StackName=stack.name, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"])
    described = account.client("sagemaker").describe_pipeline(PipelineName=outputs["TrainPipelineName"])
    assert described["PipelineDescription"].startswith("Images:")
    cloudformation.delete_stack(StackName=stack.name)
    assert account.client("sagemaker").list_pipelines()["PipelineSummaries"] == []


def test_the_definition_read_back_has_no_placeholder_left(
    account: EmulatedAccount, outputs: dict[str, str], pipeline: DeployedPipeline
) -> None:
    text = account.client("sagemaker").describe_pipeline(PipelineName=pipeline.name)["PipelineDefinition"]
    assert "${" not in text
    assert outputs["DataBucketName"] in text
    pipeline.definition.refuse_unsupported(SUPPORTED)
    of_training = {"Resolve", "Preprocess", "Evaluate", "Package", "SmokeTest", "Register"}
    expected = {"Plan", "Transform", "Join"} if pipeline.name.endswith("-transform") else of_training
    assert {step.name for step in pipeline.definition.steps} >= expected
    assert pipeline.max_parallel_steps >= 1


def test_the_summary_knows_the_property_files_by_the_names_that_the_pipeline_gives_them(
    pipeline: DeployedPipeline,
) -> None:
    files = {
        item["PropertyFileName"] for step in pipeline.definition.steps for item in step.spec.get("PropertyFiles", ())
    }
    assert pipeline.definition.defaults().keys() >= {DATA_PARAMETER}
    if pipeline.name.endswith("-transform"):
        assert files == {PREDICTIONS}
        return
    assert {DATASET, EVALUATION} <= files
    [gate] = [step for step in pipeline.definition.steps if step.type == "Condition"]
    path = gate.spec["Arguments"]["Conditions"][0]["LeftValue"]["Std:JsonGet"]["Path"]
    assert path.startswith(f"{METRICS}.")


def resolved(pipeline: DeployedPipeline, **overrides: str) -> dict[str, Any]:
    """Every step's arguments as they would be sent, with made-up outcomes of the steps before."""
    outcomes: dict[str, StepOutcome] = {}
    scope = Scope(
        parameters=pipeline.definition.parameter_values(overrides),
        execution={"PipelineExecutionId": "abcdefghijkl", "PipelineName": pipeline.name},
        steps=outcomes,
        read_object=lambda uri: json.dumps(FILES[uri]),
    )
    arguments = {}
    for step in pipeline.definition.steps:
        if step.type == "Condition":
            arguments[step.name] = scope.resolve(step.spec["Arguments"]["Conditions"])
            continue
        arguments[step.name] = resolved_arguments = scope.resolve(step.spec["Arguments"])
        outcomes[step.name] = StepOutcome(
            properties=resolved_arguments
            | {
                "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
                "HyperParameterTuningJobName": "tuning-job",
                "BestTrainingJob": BEST,
                "TrainingJobSummaries": [BEST],
                "ModelName": "model",
            },
            outputs={
                "champion_version": "none",
                "champion_uri": "s3://b/models/no-champion/",
                "base_model_uri": "s3://b/models/x/model.tar.gz",
                "base_version": "3",
                "checked": "yes",
                "trials_uri": "s3://b/trials/",
                "input_uri": "s3://images/datasets/main/",
                "listing_hash": "f" * 64,
                "object_count": 1,
                "total_bytes": 1,
                **PLANNED,
            },
            property_files={
                item["PropertyFileName"]: item["PropertyFileName"] for item in step.spec.get("PropertyFiles", ())
            },
        )
    return arguments


def test_every_expression_of_the_definition_resolves_to_what_the_service_takes(pipeline: DeployedPipeline) -> None:
    model = get_session().get_service_model("sagemaker")
    requests = {
        "Processing": ("CreateProcessingJob", "ProcessingJobName"),
        "Training": ("CreateTrainingJob", "TrainingJobName"),
        "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
        "RegisterModel": ("CreateModelPackage", None),
        "Model": ("CreateModel", "ModelName"),
        "Transform": ("CreateTransformJob", "TransformJobName"),
    }
    arguments = resolved(pipeline)
    assert "Get" not in json.dumps(list(arguments.values())).replace("GetObject", "")
    for step in pipeline.definition.steps:
        if step.type in requests:
            operation, name = requests[step.type]
            request = arguments[step.name] | ({name: "job"} if name else {})
            report = ParamValidator().validate(request, model.operation_model(operation).input_shape)
            assert not report.has_errors(), report.generate_report()


def test_outputs_lie_below_the_execution_and_consumers_take_the_producers_property(pipeline: DeployedPipeline) -> None:
    outputs = [
        item["S3Output"]["S3Uri"]
        for arguments in resolved(pipeline).values()
        if isinstance(arguments, dict)
        for item in arguments.get("ProcessingOutputConfig", {}).get("Outputs", ())
    ]
    assert outputs
    assert all("/abcdefghijkl/" in uri for uri in outputs)
    assert len(set(outputs)) == len(outputs)


def test_the_resolve_function_runs_as_deployed(
    account: EmulatedAccount, outputs: dict[str, str], tmp_path: Path
) -> None:
    pipeline = DeployedPipeline.read(account, outputs["TrainPipelineName"])
    arn = next(step.spec["FunctionArn"] for step in pipeline.definition.steps if step.name == "Resolve")

    def ask(uri: str) -> dict[str, Any]:
        answer = account.client("lambda").invoke(FunctionName=arn, Payload=json.dumps({"input_data_uri": uri}))
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload

    (tmp_path / "1.png").write_bytes(b"picture")
    bucket = outputs["DataBucketName"]
    account.objects.put(bucket, "datasets/main/cat/1.png", tmp_path / "1.png")
    first = ask(f"s3://{bucket}/datasets/main/")
    assert (first["object_count"], first["total_bytes"]) == (1, 7)
    (tmp_path / "2.png").write_bytes(b"PICTURE")
    account.objects.put(bucket, "datasets/main/cat/1.png", tmp_path / "2.png")
    second = ask(f"s3://{bucket}/datasets/main/")
    assert first["listing_hash"] != second["listing_hash"]
    assert "holds no object" in ask(f"s3://{bucket}/datasets/other/")["errorMessage"]


def test_function_assets_hold_the_handlers(account: EmulatedAccount, assembly: CloudAssembly) -> None:
    account.deploy(assembly)
    for function in account.client("lambda").list_functions()["Functions"]:
        # moto hands out no code; the asset that was published is the code.
        assert function["Handler"].split(".")[-2] in {"handler", "index", "__entrypoint__"}
    s3 = account.client("s3")
    [bucket] = [item["Name"] for item in s3.list_buckets()["Buckets"] if item["Name"].startswith("cdk-")]
    archives = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"] if item["Key"].endswith(".zip")]
    names = [
        zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())).namelist() for key in archives
    ]
    assert any("resolve/handler.py" in listed for listed in names)
