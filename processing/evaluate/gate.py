"""The gates that a model has failed, in words: the message of the step that ends the execution.

The pipeline's conditions decide; a condition cannot say which of several did not hold, so this says it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from common.contract import ContainerError
from evaluate.champion import Champion
from evaluate.findings import Findings

AGAINST_CHAMPION = "champion.worse_by"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A metric, or AGAINST_CHAMPION, with the pipeline parameter that holds its threshold."""

    metric: str
    parameter: str
    threshold: float
    more_is_better: bool

    def passed(self, value: float) -> bool:
        """Whether a value reaches the threshold, as the pipeline's condition compares it."""
        return value >= self.threshold if self.more_is_better else value <= self.threshold


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Add --at-least and --at-most, once for each gate of the pipeline."""
    for option, what in (("--at-least", "reach"), ("--at-most", "not exceed")):
        parser.add_argument(
            option,
            nargs=3,
            action="append",
            default=[],
            metavar=("METRIC", "PARAMETER", "THRESHOLD"),
            help=f"a gate: what METRIC has to {what}, and the pipeline parameter that holds it",
        )


def read_gates(given: argparse.Namespace) -> tuple[Gate, ...]:
    """Return the gates of the options; ContainerError for a threshold that is no number."""
    groups: tuple[tuple[Sequence[Sequence[str]], bool], ...] = ((given.at_least, True), (given.at_most, False))
    return tuple(
        Gate(metric=metric, parameter=parameter, threshold=_number(parameter, text), more_is_better=more)
        for rows, more in groups
        for metric, parameter, text in rows
    )


def failed(gates: Sequence[Gate], findings: Findings) -> str:
    """Return the failed gates, each with value and threshold; empty where all are passed."""
    return "; ".join(text for gate in gates if (text := _failure(gate, findings)) is not None)


def _failure(gate: Gate, findings: Findings) -> str | None:
    bound = f"({gate.parameter}: {'at least' if gate.more_is_better else 'at most'} {gate.threshold:g})"
    if gate.metric == AGAINST_CHAMPION:
        return _against(findings.champion, gate, bound)
    if gate.metric not in findings.metrics:
        raise ContainerError(f"gate {gate.metric} is no metric; allowed: {', '.join(findings.metrics)}")
    value = findings.metrics[gate.metric]
    if value is None:
        return f"{gate.metric} is not defined for this test set {bound}"
    return None if gate.passed(value) else f"{gate.metric} {value} {bound}"


def _against(champion: Champion, gate: Gate, bound: str) -> str | None:
    found = champion.comparison
    if found is None or gate.passed(found.worse_by):
        return None
    name = "the champion" if champion.version is None else f"champion version {champion.version}"
    return f"worse than {name} by up to {found.worse_by} {bound}"


def _number(parameter: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ContainerError(f"{parameter} must be a number, got {text!r}") from None
