"""The trials of a tuning job: what is known of each, and how the service lists it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

TrialStatus = Literal["InProgress", "Completed", "Failed", "Stopped"]


@dataclass(frozen=True, kw_only=True)
class EarlierTrial:
    """A training job of an earlier tuning job."""

    hyperparameters: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What to try: the number of the trial, from 0, and the tuned hyperparameters as text."""

    number: int
    hyperparameters: Mapping[str, str]


@dataclass(kw_only=True)
class Trial:
    """One training job of a tuning job; `value` is the objective's last one, None as long as there is none."""

    number: int
    job_name: str
    job_arn: str
    hyperparameters: Mapping[str, str]
    started: datetime
    status: TrialStatus = "InProgress"
    ended: datetime | None = None
    epoch: int = -1  # the last that the objective is known of
    value: float | None = None
    failure_reason: str | None = None

    def as_listed(self, tuning_job: str, objective: Mapping[str, str]) -> dict[str, Any]:
        """The HyperParameterTrainingJobSummary; empty fields are left out."""
        ended = self.value is not None and self.status != "InProgress"
        metric = {**objective, "Value": self.value} if ended else None
        item = {
            "TrainingJobName": self.job_name,
            "TrainingJobArn": self.job_arn,
            "TuningJobName": tuning_job,
            "CreationTime": self.started,
            "TrainingStartTime": self.started,
            "TrainingEndTime": self.ended,
            "TrainingJobStatus": self.status,
            "TunedHyperParameters": dict(self.hyperparameters),
            "FailureReason": self.failure_reason,
            "FinalHyperParameterTuningJobObjectiveMetric": metric,
            "ObjectiveStatus": self._objective_status(),
        }
        return {key: value for key, value in item.items() if value is not None}

    def _objective_status(self) -> str:
        if self.status == "InProgress":
            return "Pending"
        return "Failed" if self.value is None or self.status == "Failed" else "Succeeded"

    def words(self) -> str:
        """One line for the log."""
        chosen = ", ".join(f"{name}={value}" for name, value in self.hyperparameters.items())
        value = "no objective" if self.value is None else f"objective {self.value:.6g}"
        reason = f" ({self.failure_reason})" if self.failure_reason else ""
        return f"trial {self.number + 1} {self.job_name}: {self.status}{reason}, {value}: {chosen}"
