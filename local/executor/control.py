"""Carries out the steps that steer an execution: Condition and Fail."""

from __future__ import annotations

from typing import Any

from local.executor.conditions import holds
from local.executor.definition import Step
from local.executor.expressions import Scope
from local.executor.tools import Done, StepFailed


def run_condition(step: Step, scope: Scope) -> Done:
    """Which branch is taken: all of the step's conditions must hold for the first."""
    outcome = all(holds(condition, scope) for condition in step.spec["Arguments"]["Conditions"])
    return Done(branch=outcome, metadata={"Condition": {"Outcome": "True" if outcome else "False"}})


def run_fail(step: Step, scope: Scope) -> Done:
    """Ends the execution with the step's message."""
    message: Any = scope.resolve(step.spec["Arguments"].get("ErrorMessage", ""))
    raise StepFailed(str(message))
