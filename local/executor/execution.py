"""Runs a started pipeline execution to its end: steps as their inputs become ready, independent ones in parallel."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import LocalRunError, explain_os_error
from local.executor import control, processing, services, training, transform, tuning
from local.executor.definition import Definition, Step
from local.executor.expressions import Scope
from local.executor.records import ExecutionRecord, Observer, Status, StepRecord
from local.executor.tools import Done, StepFailed, Tools

_JOBS: Final[Mapping[str, Callable[[Step, dict[str, Any], Tools], Done]]] = {
    "Lambda": services.run_lambda,
    "Processing": processing.run_processing,
    "Training": training.run_training,
    "Tuning": tuning.run_tuning,
    "Transform": transform.run_transform,
    "RegisterModel": services.run_register_model,
    "Model": services.run_create_model,
}
_CONTROL: Final[Mapping[str, Callable[[Step, Scope], Done]]] = {
    "Condition": control.run_condition,
    "Fail": control.run_fail,
}
SUPPORTED: Final = frozenset({*_JOBS, *_CONTROL})


class Execution:
    """One execution; `run` may be called once. The state is recorded in the account after every change."""

    def __init__(
        self,
        *,
        arn: str,
        definition: Definition,
        scope: Scope,
        tools: Tools,
        max_parallel_steps: int,
        observer: Observer,
    ) -> None:
        self._arn = arn
        self._definition = definition
        self._scope = scope
        self._tools = tools
        self._max_parallel_steps = max_parallel_steps
        self._observer = observer
        self._records: dict[str, StepRecord] = {}
        self._done: dict[str, Done] = {}
        self._running: dict[Future[Done], Step] = {}
        self._error: BaseException | None = None

    def run(self) -> ExecutionRecord:
        """Runs until nothing more can; a KeyboardInterrupt stops the running steps and ends it as Stopped.

        A failed step lets those that run already come to their end; none is started any more.
        """
        with ThreadPoolExecutor(self._max_parallel_steps, thread_name_prefix="step") as pool:
            try:
                self._advance(pool)
            except KeyboardInterrupt:
                self._stop()
            except BaseException:
                self._stop()
                raise
        return self._conclude()

    def _advance(self, pool: ThreadPoolExecutor) -> None:
        while True:
            for step in self._ready():
                self._begin(step)
                self._running[pool.submit(self._carry_out, step, self.scope())] = step
            if not self._running:
                return
            self._collect(wait(self._running, return_when=FIRST_COMPLETED).done)

    def _stop(self) -> None:
        """Ends what runs; a runtime needs its grace at most, so a second interrupt changes nothing."""
        self._tools.stop.set()
        while self._running:
            try:
                self._collect(wait(self._running).done)
            except KeyboardInterrupt:
                continue
        for record in self._records.values():
            if record.status == "Executing":  # interrupted between two lines of this class
                record.status, record.ended = "Stopped", _now()

    def _ready(self) -> list[Step]:
        """Steps whose turn has come, as many as may run now; after a failure none is started any more."""
        if self._failed():
            return []
        ready = [step for step in self._definition.steps if step.name not in self._records and self._may_start(step)]
        return ready[: self._max_parallel_steps - len(self._running)]

    def _may_start(self, step: Step) -> bool:
        if step.branch and (step.branch[0] not in self._done or self._done[step.branch[0]].branch != step.branch[1]):
            return False
        return step.depends_on <= self._done.keys()

    def scope(self) -> Scope:
        """What expressions see now: the outcomes of the steps that have succeeded, among others."""
        return replace(self._scope, steps={name: done.outcome for name, done in self._done.items()})

    def _begin(self, step: Step) -> None:
        self._records[step.name] = StepRecord(
            name=step.name, display_name=step.display_name, type=step.type, status="Executing", started=_now()
        )
        self._record(status="Executing")
        self._observer.step_started(step)

    def _carry_out(self, step: Step, scope: Scope) -> Done:
        """Runs in a thread of the pool; every failure becomes a StepFailed, a bug with its traceback in the log."""
        try:
            if step.type in _CONTROL:
                return _CONTROL[step.type](step, scope)
            return _JOBS[step.type](step, scope.resolve(step.spec.get("Arguments", {})), self._tools)
        except StepFailed:
            raise
        except (LocalRunError, ClientError, BotoCoreError) as error:
            raise StepFailed(" ".join(str(error).split())) from error
        except OSError as error:
            raise StepFailed(explain_os_error(error)) from error
        except Exception as error:
            with self._tools.log(step).open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
            raise StepFailed(f"internal error: {error!r}") from error

    def _collect(self, ended: set[Future[Done]]) -> None:
        for future in ended:
            step, error = self._running[future], future.exception()
            record = self._records[step.name]
            record.ended = _now()
            if error is None:
                self._done[step.name] = future.result()
                record.status, record.metadata = "Succeeded", future.result().metadata
            elif self._tools.stop.is_set():
                record.status = "Stopped"
            else:
                record.status, record.failure_reason = "Failed", str(error)
                self._error = self._error or error
            del self._running[future]
            self._record(status="Executing")
            self._observer.step_ended(record)

    def _failed(self) -> StepRecord | None:
        return next((record for record in self._records.values() if record.status == "Failed"), None)

    def _conclude(self) -> ExecutionRecord:
        failed = self._failed()
        if self._tools.stop.is_set():
            return self._record(status="Stopped", failure_reason="stopped by the user")
        if failed:
            return self._record(status="Failed", failure_reason=f"Step {failed.name} failed: {failed.failure_reason}")
        return self._record(status="Succeeded")

    def _record(self, *, status: Status, failure_reason: str | None = None) -> ExecutionRecord:
        steps = tuple(self._records.values())
        self._tools.account.job_states.execution(
            self._arn, status=status, failure_reason=failure_reason, steps=[step.as_listed() for step in steps]
        )
        return ExecutionRecord(
            id=self._tools.execution_id,
            arn=self._arn,
            status=status,
            failure_reason=failure_reason,
            steps=steps,
            error=self._error,
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)
