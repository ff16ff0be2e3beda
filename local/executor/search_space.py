"""The ranges of a tuning job as distributions of the search engine, and back to what a training job is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from local.errors import LocalRunError

# Auto is the service's own choice, which it does not tell; here values spread over this ratio are searched by factor.
_AUTO_LOGARITHMIC_RATIO: Final = 100

Kind = Literal["Integer", "Continuous", "Categorical"]


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One hyperparameter that is searched for; `reverse` means that the engine sees 1 minus the value."""

    name: str
    kind: Kind
    distribution: BaseDistribution
    reverse: bool = False

    def wire(self, internal: Any) -> str:
        """The engine's value as the text that a training job gets."""
        if self.kind == "Categorical":
            return str(internal)
        return str(internal) if self.kind == "Integer" else repr(1.0 - internal if self.reverse else float(internal))

    def internal(self, wire: str) -> Any | None:
        """The engine's value for a text, None where the range does not hold it."""
        try:
            value: Any = {"Integer": int, "Continuous": float, "Categorical": str}[self.kind](wire)
        except ValueError:
            return None
        if self.reverse:
            value = 1.0 - value
        try:
            held = self.distribution._contains(self.distribution.to_internal_repr(value))
        except ValueError:  # a category that there is not
            return None
        return value if held else None


def search_space(ranges: Mapping[str, Any]) -> dict[str, Dimension]:
    """The dimensions of ParameterRanges by name, in order; raises LocalRunError naming a range that is none."""
    if ranges.get("AutoParameters"):
        raise LocalRunError(
            "tuning: AutoParameters are chosen by the service alone: state their ranges for a local run"
        )
    dimensions = [
        *(_integer(item) for item in ranges.get("IntegerParameterRanges", [])),
        *(_continuous(item) for item in ranges.get("ContinuousParameterRanges", [])),
        *(_categorical(item) for item in ranges.get("CategoricalParameterRanges", [])),
    ]
    if not dimensions:
        raise LocalRunError("tuning: ParameterRanges is empty: name at least one hyperparameter with its range")
    names = [dimension.name for dimension in dimensions]
    for name in names:
        if names.count(name) > 1:
            raise LocalRunError(f"tuning: hyperparameter {name} has two ranges: leave one of them out")
    return {dimension.name: dimension for dimension in dimensions}


def _integer(item: Mapping[str, str]) -> Dimension:
    name, scaling = item["Name"], item.get("ScalingType", "Auto")
    low, high = (_bound(name, item[key], int) for key in ("MinValue", "MaxValue"))
    _check_order(name, low, high)
    if scaling == "ReverseLogarithmic":
        raise LocalRunError(f"tuning: range of {name}: ReverseLogarithmic is for continuous values, not for whole ones")
    distribution = IntDistribution(int(low), int(high), log=_is_logarithmic(name, scaling, low, high))
    return Dimension(name=name, kind="Integer", distribution=distribution)


def _continuous(item: Mapping[str, str]) -> Dimension:
    name, scaling = item["Name"], item.get("ScalingType", "Auto")
    low, high = (_bound(name, item[key], float) for key in ("MinValue", "MaxValue"))
    _check_order(name, low, high)
    if scaling == "ReverseLogarithmic":
        if not 0 <= low <= high < 1:
            raise LocalRunError(
                f"tuning: range of {name}: ReverseLogarithmic takes values from 0 and below 1, not {low:g} to {high:g}"
            )
        return Dimension(
            name=name, kind="Continuous", distribution=FloatDistribution(1 - high, 1 - low, log=True), reverse=True
        )
    distribution = FloatDistribution(low, high, log=_is_logarithmic(name, scaling, low, high))
    return Dimension(name=name, kind="Continuous", distribution=distribution)


def _categorical(item: Mapping[str, Any]) -> Dimension:
    return Dimension(
        name=item["Name"], kind="Categorical", distribution=CategoricalDistribution(tuple(map(str, item["Values"])))
    )


def _bound(name: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise LocalRunError(f"tuning: range of {name}: {text!r} is not {wanted}") from error


def _check_order(name: str, low: float, high: float) -> None:
    if not low <= high:
        raise LocalRunError(f"tuning: range of {name}: the minimum {low:g} is above the maximum {high:g}: swap them")


def _is_logarithmic(name: str, scaling: str, low: float, high: float) -> bool:
    if scaling == "Logarithmic" and low <= 0:
        raise LocalRunError(f"tuning: range of {name}: Logarithmic takes values above 0, not {low:g}")
    return scaling == "Logarithmic" or (scaling == "Auto" and low > 0 and high / low >= _AUTO_LOGARITHMIC_RATIO)
