"""Processing jobs that a state machine starts: the deployed image's container, between the emulated S3 and its root."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.assembly import ImageAsset
from local.containers.job import Runtime
from local.emulator.account import EmulatedAccount
from local.executor.definition import Step
from local.executor.processing import run_processing
from local.executor.tools import StepFailed, Tools


class _JobTools(Tools):
    """A job that is no step of a pipeline has the name that it was given."""

    def job_name(self, step: Step) -> str:
        return step.name


@dataclass(frozen=True, kw_only=True)
class ContainerJobs:
    """Runs processing jobs with a runtime; their files and logs stay below `directory`."""

    account: EmulatedAccount
    images: tuple[ImageAsset, ...]
    runtime: Runtime
    directory: Path
    stop: threading.Event = field(default_factory=threading.Event)
    on_line: Callable[[Step, str], None] = lambda step, line: None

    def run(self, name: str, request: Mapping[str, Any]) -> None:
        """Runs a job to its end; how it ended is what DescribeProcessingJob says."""
        tools = _JobTools(
            account=self.account,
            runtime=self.runtime,
            images=self.images,
            directory=self.directory,
            execution_id=name,
            stop=self.stop,
            on_line=self.on_line,
        )
        step = Step(name=name, type="Processing", spec={}, depends_on=frozenset())
        try:
            run_processing(step, dict(request), tools)
        except StepFailed:
            return  # the job's state and reason say so
