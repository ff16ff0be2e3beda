"""What is recorded of an execution and its steps, in the service's own words for states."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from local.executor.definition import Step

Status = Literal["Executing", "Succeeded", "Failed", "Stopped"]


@dataclass(kw_only=True)
class StepRecord:
    """One step that was started; `metadata` is what ListPipelineExecutionSteps shows of its job."""

    name: str
    display_name: str
    type: str
    status: Status
    started: datetime
    ended: datetime | None = None
    failure_reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Time from start to end, 0 while it runs."""
        return (self.ended - self.started).total_seconds() if self.ended else 0.0

    def as_listed(self) -> dict[str, Any]:
        """The item of ListPipelineExecutionSteps."""
        item = {
            "StepName": self.name,
            "StepDisplayName": self.display_name,
            "StartTime": self.started,
            "EndTime": self.ended,
            "StepStatus": self.status,
            "FailureReason": self.failure_reason,
            "Metadata": self.metadata,
        }
        return {key: value for key, value in item.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ExecutionRecord:
    """A finished execution."""

    id: str
    arn: str
    status: Status
    failure_reason: str | None
    steps: tuple[StepRecord, ...]
    error: BaseException | None = None  # what made the first failed step fail, for its traceback


class Observer(Protocol):
    """Somebody who watches an execution; called from several threads."""

    def step_started(self, step: Step) -> None:
        """A step begins."""
        ...

    def step_line(self, step: Step, line: str) -> None:
        """A step's container printed a line."""
        ...

    def step_ended(self, record: StepRecord) -> None:
        """A step has ended."""
        ...
