"""State machines that really run: moto's interpreter of the States Language, with what it lacks put right."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.stepfunctions import models
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as callback,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.backend import execution as executions
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends

from local.emulator.answers import plain
from local.emulator.clock import Clock
from local.emulator.map_states import completed_maps
from local.emulator.replaced import replaced
from local.emulator.sdk_tasks import completed_sdk_tasks
from local.emulator.service_tasks import ProcessingJobs, service_tasks

# moto reads it from `mock_aws(config=...)`.
CONFIG: Final = {"execute_state_machine": True}
_ENDED: Final = "aws.states"
_JOIN_SECONDS: Final = 5.0


@contextmanager
def running_state_machines(
    *, clock: Clock, jobs: Callable[[], ProcessingJobs | None], emit: Callable[..., None]
) -> Iterator[None]:
    """While open, `start_execution` runs state machines, those that CloudFormation created included.

    `jobs` gives what carries out processing jobs, `emit` takes the event of an execution that has ended. Waits and
    retries last as long as the clock says. What still runs at the end is stopped: its clients would lead out.
    """
    started: list[threading.Thread] = []
    with ExitStack() as stack:
        for owner, values in {
            models: {"stepfunctions_backends": stepfunctions_parser_backends},
            WaitFunction: {"_wait_interval": lambda self, env, wait_seconds: _wait(clock, env, wait_seconds)},
            retrier_decl: {"time": SimpleNamespace(sleep=clock.wait)},
            callback: {"_DELAY_SECONDS_SYNC_CONDITION_CHECK": clock.real(1)},
            executions.ExecutionWorker: {
                "start": lambda self: _start(self, started),
                "_get_evaluation_environment": _environment_of,
            },
            executions.BaseExecutionWorkerCommunication: {"terminated": lambda self: _terminated(self, emit)},
        }.items():
            stack.enter_context(replaced(owner, **values))
        stack.enter_context(completed_sdk_tasks())
        stack.enter_context(_named_executions())
        stack.enter_context(completed_maps())
        stack.enter_context(service_tasks(jobs))
        stack.callback(_stop, started)
        yield


@contextmanager
def _named_executions() -> Iterator[None]:
    """An execution that nobody named gets a name; moto takes a second one for the first."""
    start = StepFunctionsParserBackend.start_execution

    def start_named(self: Any, state_machine_arn: str, name: str | None = None, *arguments: Any, **named: Any) -> Any:
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *arguments, **named)

    with replaced(StepFunctionsParserBackend, start_execution=start_named):
        yield


def _wait(clock: Clock, env: Any, seconds: float) -> None:
    env.program_state_event.wait(clock.real(seconds))


_make_environment = executions.ExecutionWorker._get_evaluation_environment


def _environment_of(worker: Any) -> Any:
    """The context object holds the start as text, as every other time; moto leaves a datetime there."""
    environment = _make_environment(worker)
    execution = environment.states.context_object.context_object_data["Execution"]
    execution["StartTime"] = plain(execution["StartTime"])
    return environment


def _start(worker: Any, started: list[threading.Thread]) -> None:
    thread = threading.Thread(target=worker._execution_logic, daemon=True)
    worker.thread = thread  # who follows the execution waits for its very end
    started.append(thread)
    thread.start()


def _terminated(communication: Any, emit: Callable[..., None]) -> None:
    communication._reflect_execution_status()
    execution = communication.execution
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": str(execution.exec_status.value),
        "input": execution.execution_input,
    }
    # Of a failure; rules tell by the error what a machine has told of itself.
    detail |= {key: said for key in ("error", "cause") if (said := getattr(execution, key))}
    emit(source=_ENDED, kind="Step Functions Execution Status Change", detail=detail, resources=[execution.exec_arn])


def _stop(started: list[threading.Thread]) -> None:
    for backend in stepfunctions_parser_backends[DEFAULT_ACCOUNT_ID].values():
        for execution in backend._get_executions(ExecutionStatus.RUNNING):
            if execution.exec_worker.env is not None:
                execution.exec_worker.stop(datetime.now(timezone.utc), None, "the account was closed")
    for thread in started:
        thread.join(_JOIN_SECONDS)
