"""summary.json of a run: what was run on which data, with what result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.executor.definition import Definition
from local.executor.expressions import Scope, StepOutcome
from local.executor.records import ExecutionRecord
from local.gates import EVALUATION, METRICS, gates
from local.storage import read_text

# The property file of the step that joins a batch transform, see pipeline_def/steps/join.py.
PREDICTIONS = "Predictions"
DATASET = "Dataset"  # the property file of the step that packs, see pipeline_def/steps


def summarise(
    record: ExecutionRecord,
    *,
    pipeline: str,
    environment: str,
    definition: Definition,
    scope: Scope,
    s3: Any,
    seconds: float,
    peak_memory_bytes: int,
) -> dict[str, Any]:
    """The content of summary.json; `scope` holds the outcomes of the steps that have succeeded."""
    dataset = _property_file(DATASET, scope.steps, s3)
    evaluation = _property_file(EVALUATION, scope.steps, s3)
    shown = ("content_hash", "classes", "counts", "rejected")
    return {
        "execution_id": record.id,
        "pipeline": pipeline,
        "environment": environment,
        "status": record.status,
        "failure_reason": record.failure_reason,
        "dataset": {key: dataset[key] for key in shown} if dataset else None,
        "metrics": {name: item["value"] for name, item in evaluation[METRICS].items()} if evaluation else None,
        "top_k": evaluation.get("top_k") if evaluation else None,
        "gates": gates(record, definition, scope),
        "champion": _champion(evaluation),
        "tuning": _tuning(scope.steps),
        "model_package": _model_package(scope.steps),
        "transform": _property_file(PREDICTIONS, scope.steps, s3),
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
        "experiment": _experiment(definition, scope),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory_bytes,
    }


def _property_file(name: str, steps: Mapping[str, StepOutcome], s3: Any) -> dict[str, Any] | None:
    uris = [outcome.property_files[name] for outcome in steps.values() if name in outcome.property_files]
    return json.loads(read_text(s3, uris[0])) if uris else None


def _experiment(definition: Definition, scope: Scope) -> dict[str, str] | None:
    """The experiment and its trial that the service would keep the execution under."""
    if not definition.experiment:
        return None
    names = scope.resolve(dict(definition.experiment))
    return {"name": names["ExperimentName"], "trial": names["TrialName"]}


def _tuning(steps: Mapping[str, StepOutcome]) -> dict[str, Any] | None:
    """The best training job of the first tuning job."""
    for outcome in steps.values():
        if "HyperParameterTuningJobName" in outcome.properties:
            best = outcome.properties["BestTrainingJob"]
            metric = best["FinalHyperParameterTuningJobObjectiveMetric"]
            return {
                "job": outcome.properties["HyperParameterTuningJobName"],
                "objective": metric["MetricName"],
                "best_value": metric["Value"],
                "best_hyperparameters": best["TunedHyperParameters"],
                "best_training_job": best["TrainingJobName"],
                "trials": sum(outcome.properties["TrainingJobStatusCounters"].values()),
            }
    return None


def _champion(evaluation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The comparison with the newest approved version, where there is one; `reason` says why it was not compared."""
    champion = (evaluation or {}).get("champion") or {}
    if champion.get("version") is None:
        return None
    return {key: champion.get(key) for key in ("version", "difference", "worse_by", "reason")}


def _model_package(steps: Mapping[str, StepOutcome]) -> dict[str, Any] | None:
    for outcome in steps.values():
        if "ModelPackageArn" in outcome.properties:
            return {
                "arn": outcome.properties["ModelPackageArn"],
                "version": outcome.properties["ModelPackageVersion"],
                "approval_status": outcome.properties["ModelApprovalStatus"],
            }
    return None
