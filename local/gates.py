"""The gates of an execution: every condition over what the evaluation found, with its value and its threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from local.executor.conditions import holds
from local.executor.definition import Definition
from local.executor.expressions import Scope
from local.executor.records import ExecutionRecord

# Names that the pipeline declares, see pipeline_def/steps: the property file, and the metrics in it.
EVALUATION, METRICS = "Evaluation", "metrics"
_DIRECTIONS: Final = {
    "GreaterThanOrEqualTo": "at least",
    "GreaterThan": "above",
    "LessThanOrEqualTo": "at most",
    "LessThan": "below",
    "Equals": "equal to",
}
_OPPOSITES: Final = {
    "GreaterThanOrEqualTo": "LessThan",
    "GreaterThan": "LessThanOrEqualTo",
    "LessThanOrEqualTo": "GreaterThan",
    "LessThan": "GreaterThanOrEqualTo",
}


def gates(record: ExecutionRecord, definition: Definition, scope: Scope) -> list[dict[str, Any]]:
    """Metric, value, threshold, direction and outcome of each, in order of the definition.

    Conditions of steps that have not come to an outcome are left out, for their values may not be there.
    """
    ended = {step.name for step in record.steps if step.status == "Succeeded"}
    return [
        _gate(kind, condition, scope)
        for step in definition.steps
        if step.type == "Condition" and step.name in ended
        for whole in step.spec["Arguments"]["Conditions"]
        for kind, condition in _comparisons(whole)
        if _path(condition) is not None
    ]


def _comparisons(condition: Mapping[str, Any], *, negated: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The comparisons inside a condition, each with what it amounts to where it stands in a Not."""
    kind = condition["Type"]
    if kind == "Not":
        yield from _comparisons(condition["Expression"], negated=not negated)
    elif kind in ("And", "Or"):
        for item in condition["Conditions"]:
            yield from _comparisons(item, negated=negated)
    elif kind in _DIRECTIONS and not (negated and kind not in _OPPOSITES):
        yield _OPPOSITES[kind] if negated else kind, condition


def _gate(kind: str, condition: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    path = str(_path(condition))
    return {
        "metric": path.split(".")[1] if path.startswith(f"{METRICS}.") else path,
        "value": scope.resolve(condition["LeftValue"]),
        "threshold": scope.resolve(condition["RightValue"]),
        "direction": _DIRECTIONS[kind],
        "passed": holds({**condition, "Type": kind}, scope),
    }


def _path(condition: Mapping[str, Any]) -> str | None:
    """Where in the evaluation the compared value stands; None where it is something else."""
    left = condition["LeftValue"]
    read = left.get("Std:JsonGet") if isinstance(left, dict) else None
    if not read or not str(read.get("PropertyFile", {}).get("Get", "")).endswith(f".PropertyFiles.{EVALUATION}"):
        return None
    return str(read["Path"])
