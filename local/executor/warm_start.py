"""Warm start of a tuning job: what earlier tuning jobs of the account have found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.errors import LocalRunError
from local.executor.trials import EarlierTrial


def earlier_trials(
    sagemaker: Any, config: Mapping[str, Any] | None, objective: Mapping[str, str]
) -> list[EarlierTrial]:
    """The training jobs of the parents that have a value of the objective.

    Raises LocalRunError for a parent that the account does not know, or that had another objective.
    """
    if not config:
        return []
    trials = []
    for parent in config["ParentHyperParameterTuningJobs"]:
        name = parent["HyperParameterTuningJobName"]
        _check(_describe(sagemaker, name), name, objective)
        pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=name
        )
        for job in (job for page in pages for job in page["TrainingJobSummaries"]):
            if metric := job.get("FinalHyperParameterTuningJobObjectiveMetric"):
                trials.append(EarlierTrial(hyperparameters=job["TunedHyperParameters"], value=metric["Value"]))
    return trials


def _describe(sagemaker: Any, name: str) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        raise LocalRunError(
            f"warm start: the account knows no tuning job {name}; a local run's account starts without any: "
            "leave the parents out here"
        ) from error
    return answer


def _check(parent: Mapping[str, Any], name: str, objective: Mapping[str, str]) -> None:
    other = parent["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    if dict(other) != dict(objective):
        raise LocalRunError(
            f"warm start: tuning job {name} had the objective {_words(other)}, this one has {_words(objective)}: "
            "they must be equal"
        )


def _words(objective: Mapping[str, str]) -> str:
    return f"{objective.get('Type', '?')} {objective.get('MetricName', '?')}"
