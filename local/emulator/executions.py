"""Follows an execution of a state machine to its end, state by state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.errors import LocalRunError

_POLL_SECONDS: Final = 0.05
_RUNNING: Final = "RUNNING"


class Account(Protocol):
    """What is needed of an account, see local.emulator.account."""

    account_id: str
    region: str

    def client(self, service: str) -> Any:
        """The account's client of a service."""
        ...


@dataclass(frozen=True, kw_only=True)
class EndedExecution:
    """How an execution ended; `states` are those that were entered, in order, those inside a Map not among them."""

    arn: str
    status: str
    output: Any = None
    error: str | None = None
    cause: str | None = None
    states: list[str] = field(default_factory=list)


def execute(account: Account, state_machine_arn: str, content: Mapping[str, Any], **options: Any) -> EndedExecution:
    """Starts an execution and follows it; options as of `follow`."""
    client = account.client("stepfunctions")
    started = client.start_execution(stateMachineArn=state_machine_arn, input=json.dumps(content))
    return follow(account, started["executionArn"], **options)


def follow(
    account: Account, arn: str, *, timeout_seconds: float = 300, on_state: Callable[[str], None] = lambda name: None
) -> EndedExecution:
    """Waits for an execution's end and tells `on_state` of each state as it is entered.

    Raises LocalRunError where it takes longer than `timeout_seconds` of real time.
    """
    client, seen, limit = account.client("stepfunctions"), 0, time.monotonic() + timeout_seconds
    while True:
        described = client.describe_execution(executionArn=arn)
        states = _entered(account, arn)
        for name in states[seen:]:
            on_state(name)
        seen = len(states)
        if described["status"] != _RUNNING:
            break
        if time.monotonic() > limit:
            raise LocalRunError(f"execution {arn} still runs after {timeout_seconds:g} s, in state {states[-1:]}")
        time.sleep(_POLL_SECONDS)
    _execution(account, arn).exec_worker.thread.join()  # its last event is told after its state is set
    return EndedExecution(
        arn=arn,
        status=described["status"],
        output=json.loads(described["output"]) if "output" in described else None,
        error=described.get("error"),
        cause=described.get("cause"),
        states=states,
    )


def executions(account: Account, state_machine_arn: str) -> list[str]:
    """The ARNs of a state machine's executions, oldest first."""
    pages = account.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=state_machine_arn)
    listed = [item for page in pages for item in page["executions"]]
    return [item["executionArn"] for item in sorted(listed, key=lambda item: item["startDate"])]


def _entered(account: Account, arn: str) -> list[str]:
    """The states so far, from moto itself: its answer to GetExecutionHistory copies the data of every event."""
    worker = _execution(account, arn).exec_worker
    if worker is None or worker.env is None:
        return []
    history = worker.env.event_manager.get_event_history()
    return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]


def _execution(account: Account, arn: str) -> Any:
    return stepfunctions_parser_backends[account.account_id][account.region].describe_execution(arn)
