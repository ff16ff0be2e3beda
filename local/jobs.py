"""Processing jobs that a state machine starts: the deployed image's container, between the emulated S3 and its root."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.assembly import ImageAsset
from local.containers.job import Runtime
from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
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
    _running: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

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
        with self._noted(name):
            try:
                run_processing(step, dict(request), tools)
            except StepFailed:
                return  # the job's state and reason say so

    def close(self) -> None:
        """Ends the containers that still run, and waits for that; none is started any more."""
        with self._changed:
            self.stop.set()
            self._changed.wait_for(lambda: not self._running)

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        with self._changed:
            if self.stop.is_set():
                raise LocalRunError(f"job {name} cannot be started any more: the account is being closed")
            self._running.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()
