"""The short forms of states, run as state machines."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from infra.workflows.states import fail, with_cause
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.executions import execute


@pytest.fixture(scope="module")
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as emulated:
        yield emulated


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ({"Error": "States.Timeout"}, "States.Timeout: no cause was given"),
        ({"Error": "InvalidImage", "Cause": "no image"}, "InvalidImage: no image"),
    ],
)
def test_an_error_without_a_cause_can_be_told(account: EmulatedAccount, error: dict[str, str], cause: str) -> None:
    """A path to the missing cause would end the execution as States.Runtime, before anybody has been told."""
    states = {
        **with_cause("Caught", next_state="Failed"),
        "Failed": fail("Told", cause_path="States.Format('{}: {}', $.error.Error, $.error.Cause)"),
    }
    arn = account.client("stepfunctions").create_state_machine(
        name=error["Error"].replace(".", "-"),
        definition=json.dumps({"StartAt": "Caught", "States": states}),
        roleArn="arn:aws:iam::123456789012:role/machine",
    )["stateMachineArn"]
    ended = execute(account, arn, {"input": {}, "error": error})
    assert (ended.error, ended.cause) == ("Told", cause)
