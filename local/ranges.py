"""Ranges of pipeline parameters, which a definition cannot state: checked before an execution costs anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local.errors import LocalRunError
from local.executor.definition import Definition

_ROOT: Final = Path(__file__).parents[1]
# Data files of the two sides that know the ranges: the definition, and the trainer with its hyperparameters.
_PARAMETERS: Final = _ROOT / "pipeline_def" / "ranges.json"
_HYPERPARAMETERS: Final = _ROOT / "processing" / "train" / "hyperparameters.json"


def check_ranges(values: Mapping[str, Any]) -> None:
    """Raises LocalRunError naming the first parameter whose value is out of its range, and the range."""
    ranges = _read()
    for name, value in values.items():
        limits = ranges.get(name, {})
        if isinstance(value, str):
            _check_text(name, value, limits)
        elif _is_outside(value, limits):
            raise LocalRunError(f"parameter {name}: {value} is out of range, it must be {_words(limits)}")


def check_values(definition: Definition, values: Mapping[str, Any]) -> None:
    """Raises LocalRunError for a value out of its range, and for one that does not go with the definition."""
    check_ranges(values)
    _check_tuning(definition, values)


def _check_tuning(definition: Definition, values: Mapping[str, Any]) -> None:
    """A tuning job cannot run more training jobs at a time than in all."""
    for step in definition.steps:
        if step.type != "Tuning":
            continue
        limits = step.spec["Arguments"]["HyperParameterTuningJobConfig"]["ResourceLimits"]
        most, together = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
        name = most["Get"].removeprefix("Parameters.") if isinstance(most, dict) else None
        if name and values[name] < together:
            raise LocalRunError(
                f"parameter {name}: {values[name]} is below the {together} jobs that step {step.name} runs at a time: "
                "raise it, or lower the setting tune.max_parallel_jobs"
            )


def _check_text(name: str, value: str, limits: Mapping[str, Any]) -> None:
    if limits.get("pattern") and not re.fullmatch(limits["pattern"], value):
        raise LocalRunError(f"parameter {name}: {value!r} is not of the form {limits['pattern']}")
    if limits.get("max_length") is not None and len(value) > limits["max_length"]:
        raise LocalRunError(f"parameter {name}: {len(value)} characters are too many, at most {limits['max_length']}")
    if limits.get("regular_expression"):
        if value.splitlines() not in ([], [value]):
            raise LocalRunError(f"parameter {name}: {value!r} must be one line: write \\n for a line break")
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise LocalRunError(f"parameter {name}: {value!r} is not a regular expression: {error}") from error


def _read() -> dict[str, dict[str, Any]]:
    rows = json.loads(_HYPERPARAMETERS.read_text(encoding="utf-8"))
    ranges: dict[str, dict[str, Any]] = {
        "".join(word.capitalize() for word in row["name"].split("_")): row for row in rows
    }
    ranges.update(json.loads(_PARAMETERS.read_text(encoding="utf-8")))
    return ranges


def _is_outside(value: float, limits: Mapping[str, Any]) -> bool:
    low, high = limits.get("min"), limits.get("max")
    too_low = low is not None and (value <= low if limits.get("exclusive_min") else value < low)
    too_high = high is not None and (value >= high if limits.get("exclusive_max") else value > high)
    return too_low or too_high


def _words(limits: Mapping[str, Any]) -> str:
    words = []
    if limits.get("min") is not None:
        words.append(f"{'above' if limits.get('exclusive_min') else 'at least'} {limits['min']:g}")
    if limits.get("max") is not None:
        words.append(f"{'below' if limits.get('exclusive_max') else 'at most'} {limits['max']:g}")
    return " and ".join(words)
