"""What moto's SageMaker makes up or lacks about hyperparameter tuning jobs: their training jobs, the best, the stop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ResourceNotFound
from moto.sagemaker.models import HyperParameterTuningJob, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

_RUNNING: Final = ("InProgress", "Stopping")
_OBJECTIVE: Final = "FinalHyperParameterTuningJobObjectiveMetric"
_KEYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Name": lambda trial: trial["TrainingJobName"],
    "CreationTime": lambda trial: trial["CreationTime"],
    "Status": lambda trial: trial["TrainingJobStatus"],
    "FinalObjectiveMetricValue": lambda trial: trial[_OBJECTIVE]["Value"],
}
_STATUSES: Final = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")


class TuningStates:
    """Writes what the service would write, where `describe_*` and `list_*` find it."""

    def __init__(self, *, account: str, region: str) -> None:
        self._backend = sagemaker_backends[account][region]

    def set(self, name: str, *, status: str, failure_reason: str | None = None) -> None:
        """Sets the state of a tuning job."""
        job = self._backend.hyper_parameter_tuning_jobs[name]
        job.last_modified_time = datetime.now(timezone.utc)
        job.hyper_parameter_tuning_job_status = status
        job.failure_reason = failure_reason
        job.hyper_parameter_tuning_end_time = None if status in _RUNNING else job.last_modified_time

    def set_trials(self, name: str, trials: Sequence[dict[str, Any]]) -> None:
        """Sets the job's training jobs, as HyperParameterTrainingJobSummary, in order of their creation."""
        self._backend.hyper_parameter_tuning_jobs[name].trials = list(trials)

    def stop_event(self, name: str) -> threading.Event:
        """Is set once somebody stops the job."""
        return _stop_event(self._backend.hyper_parameter_tuning_jobs[name])


def _stop_event(job: Any) -> threading.Event:
    """The stop event of moto's job, made when it is first asked for."""
    event: threading.Event = job.__dict__.setdefault("stop_event", threading.Event())
    return event


@contextmanager
def completed_tuning_jobs() -> Iterator[None]:
    """While open, moto tells the truth about tuning jobs, lists their training jobs and lets them be stopped."""
    describe, summary = HyperParameterTuningJob.describe, HyperParameterTuningJob.summary

    def summarise(self: Any) -> dict[str, Any]:
        return _without_nulls(summary(self) | _results(self))

    HyperParameterTuningJob.describe = _describe
    HyperParameterTuningJob.summary = summarise
    SageMakerResponse.list_training_jobs_for_hyper_parameter_tuning_job = _list_training_jobs
    SageMakerResponse.stop_hyper_parameter_tuning_job = _stop
    try:
        yield
    finally:
        HyperParameterTuningJob.describe = describe
        HyperParameterTuningJob.summary = summary
        del SageMakerResponse.list_training_jobs_for_hyper_parameter_tuning_job
        del SageMakerResponse.stop_hyper_parameter_tuning_job


def _describe(job: Any) -> dict[str, Any]:
    """The answer of DescribeHyperParameterTuningJob."""
    best = _best(job)
    return _without_nulls(
        {
            "HyperParameterTuningJobName": job.hyper_parameter_tuning_job_name,
            "HyperParameterTuningJobArn": job.arn,
            "HyperParameterTuningJobConfig": job.hyper_parameter_tuning_job_config,
            "TrainingJobDefinition": job.training_job_definition,
            "TrainingJobDefinitions": job.training_job_definitions,
            "HyperParameterTuningJobStatus": job.hyper_parameter_tuning_job_status,
            "CreationTime": job.creation_time,
            "HyperParameterTuningEndTime": job.hyper_parameter_tuning_end_time,
            "LastModifiedTime": job.last_modified_time,
            **_results(job),
            "BestTrainingJob": best,
            "WarmStartConfig": job.warm_start_config,
            "Autotune": job.autotune,
            "FailureReason": job.failure_reason,
        }
    )


def _results(job: Any) -> dict[str, Any]:
    """The two maps of counters."""
    trials = _trials(job)
    jobs = Counter(
        {"Failed": "NonRetryableError"}.get(trial["TrainingJobStatus"], trial["TrainingJobStatus"]) for trial in trials
    )
    objectives = Counter(trial["ObjectiveStatus"] for trial in trials)
    return {
        "TrainingJobStatusCounters": {name: jobs[name] for name in _STATUSES},
        "ObjectiveStatusCounters": {name: objectives[name] for name in ("Succeeded", "Pending", "Failed")},
    }


def _trials(job: Any) -> list[dict[str, Any]]:
    return getattr(job, "trials", [])


def _best(job: Any) -> dict[str, Any] | None:
    """The completed training job with the best objective; the earliest of equal ones."""
    scored = [trial for trial in _trials(job) if _OBJECTIVE in trial and trial["TrainingJobStatus"] == "Completed"]
    if not scored:
        return None
    sign = 1 if scored[0][_OBJECTIVE]["Type"] == "Maximize" else -1
    return max(scored, key=lambda trial: sign * trial[_OBJECTIVE]["Value"])


def _list_training_jobs(self: SageMakerResponse) -> ActionResult:
    trials = list(_trials(_find(self)))
    if status := self._get_param("StatusEquals"):
        trials = [trial for trial in trials if trial["TrainingJobStatus"] == status]
    by, descending = self._get_param("SortBy", "Name"), self._get_param("SortOrder", "Ascending") == "Descending"
    if by == "FinalObjectiveMetricValue":  # those without one are left out, as the service does
        trials = [trial for trial in trials if _OBJECTIVE in trial]
    # Of equal ones the earlier comes first in either order, as it is the best training job.
    trials.sort(key=_KEYS[by], reverse=descending)
    begin = int(self._get_param("NextToken") or 0)
    end = begin + int(self._get_param("MaxResults") or 10)
    more = {"NextToken": str(end)} if end < len(trials) else {}
    # The type stands in the summary of the best job only.
    listed = [_without_type(trial) for trial in trials[begin:end]]
    return ActionResult({"TrainingJobSummaries": listed} | more)


def _stop(self: SageMakerResponse) -> ActionResult:
    job = _find(self)
    if job.hyper_parameter_tuning_job_status == "InProgress":
        job.hyper_parameter_tuning_job_status = "Stopping"
        _stop_event(job).set()
    return ActionResult({})


def _find(request: SageMakerResponse) -> Any:
    name = request._get_param("HyperParameterTuningJobName")
    try:
        return request.sagemaker_backend.hyper_parameter_tuning_jobs[name]
    except KeyError as error:
        raise ResourceNotFound(message=f"Could not find hyper parameter tuning job '{name}'.") from error


def _without_type(trial: dict[str, Any]) -> dict[str, Any]:
    if _OBJECTIVE not in trial:
        return trial
    return trial | {_OBJECTIVE: {key: value for key, value in trial[_OBJECTIVE].items() if key != "Type"}}


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
