"""Conditions: every comparison, In, And, Or, Not, and the refusal of values that cannot be compared."""

from __future__ import annotations

from typing import Any

import pytest

from local.errors import LocalRunError
from local.executor.conditions import TYPES, holds
from local.executor.expressions import Scope

SCOPE = Scope(parameters={"Threshold": 0.8, "Mode": "own"}, execution={}, steps={}, read_object=lambda uri: "")


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


YES, NO = compare("Equals", 1, 1), compare("Equals", 1, 2)


@pytest.mark.parametrize(
    ("kind", "below", "equal", "above"),
    [
        ("Equals", False, True, False),
        ("GreaterThan", False, False, True),
        ("GreaterThanOrEqualTo", False, True, True),
        ("LessThan", True, False, False),
        ("LessThanOrEqualTo", True, True, False),
    ],
)
def test_comparisons(kind: str, below: bool, equal: bool, above: bool) -> None:
    threshold = {"Get": "Parameters.Threshold"}
    assert [holds(compare(kind, value, threshold), SCOPE) for value in (0.7, 0.8, 1)] == [below, equal, above]
    assert [holds(compare(kind, text, "b"), SCOPE) for text in "abc"] == [below, equal, above]


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        (compare("Equals", True, True), True),
        (compare("Equals", 1, 1.0), True),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.Mode"}, "Values": ["builtin", "own"]}, True),
        ({"Type": "In", "QueryValue": "none", "Values": ["builtin", "own"]}, False),
        ({"Type": "And", "Conditions": [YES, YES]}, True),
        ({"Type": "And", "Conditions": [YES, NO]}, False),
        ({"Type": "Or", "Conditions": [NO, YES]}, True),
        ({"Type": "Or", "Conditions": [NO, NO]}, False),
        ({"Type": "Not", "Expression": NO}, True),
        ({"Type": "Not", "Expression": {"Type": "Or", "Conditions": [YES, NO]}}, False),
    ],
)
def test_sets_and_logic(condition: dict[str, Any], result: bool) -> None:
    assert holds(condition, SCOPE) is result


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (compare("Equals", "1", 1), "different types"),
        (compare("GreaterThan", True, 1), "different types"),
        (compare("LessThan", True, False), "cannot be compared"),
        (compare("Equals", {}, {}), "cannot be compared"),
        ({"Type": "In", "QueryValue": 1, "Values": ["1"]}, "different types"),
        (compare("NotEquals", 1, 1), "NotEquals is unknown.*GreaterThanOrEqualTo"),
    ],
)
def test_what_cannot_be_compared_is_refused(condition: dict[str, Any], named: str) -> None:
    with pytest.raises(LocalRunError, match=named):
        holds(condition, SCOPE)


def test_all_types_of_the_definition_schema_are_known() -> None:
    assert {
        "Equals",
        "GreaterThan",
        "GreaterThanOrEqualTo",
        "LessThan",
        "LessThanOrEqualTo",
        "In",
        "And",
        "Or",
        "Not",
    } == TYPES
