"""Resolves a whole definition as an execution would, with made-up answers of the services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.executor.definition import Definition
from local.executor.expressions import Scope, StepOutcome
from pipeline_def.placeholders import find, substitute
from pipeline_def.settings.evaluate import GATE_METRICS

FILES = {
    "dataset.json": {
        "num_classes": 3,
        "num_training_samples": 800,
        "content_hash": "sha256:" + "cd" * 32,
        "counts": {"train": 800, "validation": 100, "test": 100},
    },
    "evaluation.json": {
        "metrics": {name: {"value": 0.91 if more else 0.04} for name, more in GATE_METRICS.items()},
        "champion": {"worse_by": 0.01},
        "gate": {"failed": "accuracy 0.91 (AccuracyThreshold: at least 0.95)"},
    },
    "package.json": {
        "training_artifact_sha256": "ab" * 32,
        "content_hash": "sha256:" + "cd" * 32,
        "num_classes": 3,
        "serving": {
            "model_sha256": "ef" * 32,
            "precision": "fp32",
            "accuracy": 0.91,
            "image_shape": "3x64x64",
            "resize": "64",
        },
    },
}


def substituted(definition: str) -> str:
    """The definition with a plausible value for each placeholder."""
    values = {
        "DataBucket": "imgpipe-data",
        "ArtifactBucket": "imgpipe-artifacts",
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "ResolveFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:resolve",
        "CheckBaseFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:check-base",
        "ListTrialsFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:list-trials",
        "PlanTransformFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:plan-transform",
        "ImagingImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:imaging",
        "MxnetImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:mxnet",
        "MxnetGpuImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:mxnet-gpu",
        "ServeImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:serve",
        "ModelPackageGroupName": "imgpipe-dev",
    }
    return substitute(definition, {name: values[name] for name in find(definition)})


def resolved_steps(
    definition: str,
    *,
    overrides: Mapping[str, str] | None = None,
    execution_id: str = "abc123def456",
    listing_hash: str = "0" * 64,
) -> dict[str, dict[str, Any]]:
    """Each step's resolved content by step name, branches of conditions included."""
    parsed = Definition.parse(substituted(definition))
    scope = Scope(
        parameters=parsed.parameter_values(overrides or {}),
        execution={"PipelineExecutionId": execution_id, "PipelineName": "imgpipe-dev"},
        steps={},
        read_object=lambda uri: json.dumps(FILES[uri.rsplit("/", 1)[-1]]),
    )
    resolved: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, StepOutcome] = {}
    for step in parsed.steps:
        now = Scope(
            parameters=scope.parameters, execution=scope.execution, steps=outcomes, read_object=scope.read_object
        )
        content = {key: value for key, value in step.spec.items() if key != "Arguments"}
        arguments = {k: v for k, v in step.spec.get("Arguments", {}).items() if k not in ("IfSteps", "ElseSteps")}
        resolved[step.name] = content | {"Arguments": now.resolve(arguments)}
        outcomes[step.name] = _outcome(resolved[step.name], listing_hash)
    return resolved


def _outcome(step: dict[str, Any], listing_hash: str) -> StepOutcome:
    arguments = step["Arguments"]
    if step["Type"] == "Lambda":
        return StepOutcome(outputs=_answer(step["Name"], arguments, listing_hash))
    if step["Type"] == "Tuning":
        ranges = arguments["HyperParameterTuningJobConfig"]["ParameterRanges"]
        chosen = {item["Name"]: item.get("MinValue") or item["Values"][0] for kind in ranges.values() for item in kind}
        best = {"TrainingJobName": "tune-001-abc", "TunedHyperParameters": chosen}
        return StepOutcome(
            properties={
                "HyperParameterTuningJobName": "tune",
                "BestTrainingJob": best,
            }
        )
    if step["Type"] in ("Model", "Transform"):
        return StepOutcome(properties={"ModelName": "model", **arguments})
    if step["Type"] == "Training":
        artifact = f"{arguments['OutputDataConfig']['S3OutputPath']}/job/output/model.tar.gz"
        return StepOutcome(properties={"ModelArtifacts": {"S3ModelArtifacts": artifact}})
    if step["Type"] == "Processing":
        uris = {
            item["OutputName"]: item["S3Output"]["S3Uri"] for item in arguments["ProcessingOutputConfig"]["Outputs"]
        }
        files = {
            file["PropertyFileName"]: f"{uris[file['OutputName']]}/{file['FilePath']}"
            for file in step.get("PropertyFiles", [])
        }
        return StepOutcome(properties=arguments, property_files=files)
    return StepOutcome()


def _answer(function: str, arguments: dict[str, Any], listing_hash: str) -> dict[str, Any]:
    """What the function of a step answers."""
    if function == "CheckBase":
        return {"base_model_uri": arguments["base_model_uri"], "checked": "yes"}
    if function == "Trials":
        return {"trials_uri": arguments["output_uri"], "best_training_job": "job", "best_value": 0.9, "count": 2}
    if function == "Plan":
        return _planned(arguments, listing_hash)
    uri = arguments["input_data_uri"].rstrip("/") + "/"
    answer = {"input_uri": uri, "listing_hash": listing_hash, "object_count": 9, "total_bytes": 900}
    answer |= {"champion_version": "3", "champion_uri": "s3://imgpipe-artifacts/models/0123/package/"}
    if base := arguments.get("base_model_uri"):
        answer |= {"base_model_uri": f"s3://imgpipe-artifacts/models/{base}/model.tar.gz", "base_version": "3"}
    return answer


def _planned(arguments: dict[str, Any], listing_hash: str) -> dict[str, Any]:
    version, output = arguments["model_version"].replace("latest-approved", "3"), arguments["output_uri"]
    package = "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/"
    return {
        "model_package_arn": package + version,
        "model_version": version,
        "model_facts_uri": f"s3://imgpipe-artifacts/models/{version}/serving/model.json",
        "labels_uri": f"s3://imgpipe-artifacts/models/{version}/package/labels.json",
        "plan_uri": f"{output}/plan/",
        "manifest_uri": f"{output}/manifest.json",
        "listing_hash": listing_hash,
        "object_count": 9,
        "skipped_count": 0,
    }
