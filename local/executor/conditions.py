"""Conditions of a Condition step: comparisons, In, And, Or, Not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from local.errors import LocalRunError
from local.executor.expressions import Scope

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
TYPES: Final = frozenset({*_COMPARISONS, "In", "And", "Or", "Not"})


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a condition holds; raises LocalRunError for an unknown one or for values that cannot be compared."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Expression"], scope)
    if kind == "And":
        return all(holds(item, scope) for item in condition["Conditions"])
    if kind == "Or":
        return any(holds(item, scope) for item in condition["Conditions"])
    if kind == "In":
        sought = scope.resolve(condition["QueryValue"])
        return any(_compare("Equals", sought, scope.resolve(item)) for item in condition["Values"])
    if kind in _COMPARISONS:
        return _compare(kind, scope.resolve(condition["LeftValue"]), scope.resolve(condition["RightValue"]))
    raise LocalRunError(f"condition {kind} is unknown: use one of {', '.join(sorted(TYPES))}")


def _compare(kind: str, left: Any, right: Any) -> bool:
    if _family(left) is not _family(right):
        raise LocalRunError(f"condition {kind}: {left!r} and {right!r} are of different types and cannot be compared")
    if _family(left) not in (float, str) and not (_family(left) is bool and kind == "Equals"):
        raise LocalRunError(f"condition {kind}: {left!r} cannot be compared, only numbers and strings can")
    return _COMPARISONS[kind](left, right)


def _family(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
