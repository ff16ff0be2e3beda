"""The metrics of a training job: found in its log by regular expressions, as the service finds them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from local.errors import LocalRunError

# What the service knows of the built-in image classification without being told.
# https://docs.aws.amazon.com/sagemaker/latest/dg/IC-tuning.html
BUILTIN_DEFINITIONS: Final = (
    {"Name": "train:accuracy", "Regex": r"Epoch\[\d+\] Train-accuracy=([0-9.eE+-]+)"},
    {"Name": "validation:accuracy", "Regex": r"Epoch\[\d+\] Validation-accuracy=([0-9.eE+-]+)"},
)
_EPOCH: Final = re.compile(r"Epoch\[(\d+)\]")


class MetricReader:
    """Reads a job's lines. `final` maps a metric to its last value, `series` to its values by epoch, counted from 0."""

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        self._patterns = [(item["Name"], _compiled(item["Name"], item["Regex"])) for item in definitions]
        self.final: dict[str, float] = {}
        self.series: dict[str, dict[int, float]] = {}

    def hear(self, line: str) -> list[tuple[str, int, float]]:
        """The metrics that a line holds: name, epoch and value; a value that is no number is none.

        The epoch is the one that the line names as `Epoch[3]`, else the count of the metric's values so far.
        """
        found = []
        for name, pattern in self._patterns:
            match = pattern.search(line)
            value = _number(match[1]) if match and match[1] else None
            if value is None:
                continue
            named, series = _EPOCH.search(line), self.series.setdefault(name, {})
            epoch = int(named[1]) if named else len(series)
            self.final[name] = series[epoch] = value
            found.append((name, epoch, value))
        return found

    def write(self, path: Path, **about: Any) -> None:
        """Writes what was read, and whatever is said about the job, as JSON."""
        series = {
            name: [{"epoch": epoch, "value": value} for epoch, value in values.items()]
            for name, values in self.series.items()
        }
        path.write_text(json.dumps(about | {"final": self.final, "series": series}, indent=1), encoding="utf-8")


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise LocalRunError(f"metric {name}: {text!r} is not a regular expression: {error}") from error
    if not pattern.groups:
        raise LocalRunError(f"metric {name}: {text!r} has no group: put the value in parentheses, as in =([0-9.]+)")
    return pattern


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
