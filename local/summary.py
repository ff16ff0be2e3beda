"""summary.json of a run: what was run on which data, with what result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.executor.definition import Definition
from local.executor.expressions import Scope, StepOutcome
from local.executor.records import ExecutionRecord
from local.storage import read_text

# Names that the pipeline declares, see pipeline_def/steps: two property files, and the metrics in the second.
DATASET, EVALUATION, METRICS = "Dataset", "Evaluation", "metrics"


def summarise(
    record: ExecutionRecord, *, definition: Definition, scope: Scope, s3: Any, seconds: float, peak_memory_bytes: int
) -> dict[str, Any]:
    """The content of summary.json; `scope` holds the outcomes of the steps that have succeeded."""
    dataset = _property_file(DATASET, scope.steps, s3)
    evaluation = _property_file(EVALUATION, scope.steps, s3)
    shown = ("content_hash", "classes", "counts", "rejected")
    return {
        "execution_id": record.id,
        "status": record.status,
        "failure_reason": record.failure_reason,
        "dataset": {key: dataset[key] for key in shown} if dataset else None,
        "metrics": {name: item["value"] for name, item in evaluation[METRICS].items()} if evaluation else None,
        "gate": _gate(record, definition, scope),
        "model_package": _model_package(scope.steps),
        "steps": [
            {
                "name": step.name,
                "type": step.type,
                "status": step.status,
                "seconds": round(step.seconds, 3),
                "failure_reason": step.failure_reason,
            }
            for step in record.steps
        ],
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory_bytes,
    }


def _property_file(name: str, steps: Mapping[str, StepOutcome], s3: Any) -> dict[str, Any] | None:
    uris = [outcome.property_files[name] for outcome in steps.values() if name in outcome.property_files]
    return json.loads(read_text(s3, uris[0])) if uris else None


def _gate(record: ExecutionRecord, definition: Definition, scope: Scope) -> dict[str, Any] | None:
    """Metric, value and threshold of the first condition over a metric, as the definition states them."""
    ended = {step.name: step for step in record.steps if step.status == "Succeeded"}
    for step in definition.steps:
        if step.type != "Condition" or step.name not in ended:
            continue
        condition = step.spec["Arguments"]["Conditions"][0]
        left = condition.get("LeftValue")
        path = left.get("Std:JsonGet", {}).get("Path", "") if isinstance(left, dict) else ""
        if path.startswith(f"{METRICS}."):
            return {
                "metric": path.split(".")[1],
                "value": scope.resolve(condition["LeftValue"]),
                "threshold": scope.resolve(condition["RightValue"]),
                "passed": ended[step.name].metadata["Condition"]["Outcome"] == "True",
            }
    return None


def _model_package(steps: Mapping[str, StepOutcome]) -> dict[str, Any] | None:
    for outcome in steps.values():
        if "ModelPackageArn" in outcome.properties:
            return {
                "arn": outcome.properties["ModelPackageArn"],
                "version": outcome.properties["ModelPackageVersion"],
                "approval_status": outcome.properties["ModelApprovalStatus"],
            }
    return None
