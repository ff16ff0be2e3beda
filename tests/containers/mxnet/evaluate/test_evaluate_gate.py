"""The gates that failed, in words: those alone, with value, parameter and threshold."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from common.contract import ContainerError
from evaluate.gate import AGAINST_CHAMPION, Gate, add_gate_options, failed, read_gates

TOLD = [
    *("--at-least", "accuracy", "AccuracyThreshold", "0.9"),
    *("--at-least", "roc_auc", "RocAucThreshold", "0.5"),
    *("--at-most", "mse", "MseThreshold", "0.05"),
    *("--at-most", AGAINST_CHAMPION, "ChampionMargin", "0.02"),
]


def gates(arguments: list[str]) -> tuple[Gate, ...]:
    parser = argparse.ArgumentParser()
    add_gate_options(parser)
    return read_gates(parser.parse_args(arguments))


def findings(worse_by: float | None, *, version: int | None = 3, **metrics: float | None) -> SimpleNamespace:
    """What the gates look at; `worse_by` None where nothing was compared."""
    comparison = None if worse_by is None else SimpleNamespace(worse_by=worse_by)
    values = {"accuracy": 0.9, "roc_auc": 0.5, "mse": 0.05} | metrics
    return SimpleNamespace(metrics=values, champion=SimpleNamespace(version=version, comparison=comparison))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (findings(None), ""),
        (findings(0.02), ""),
        (findings(None, accuracy=0.5), "accuracy 0.5 (AccuracyThreshold: at least 0.9)"),
        (findings(0.05), "worse than champion version 3 by up to 0.05 (ChampionMargin: at most 0.02)"),
        (
            findings(0.05, version=None, mse=0.1),
            "mse 0.1 (MseThreshold: at most 0.05); "
            "worse than the champion by up to 0.05 (ChampionMargin: at most 0.02)",
        ),
        (findings(0, roc_auc=None), "roc_auc is not defined for this test set (RocAucThreshold: at least 0.5)"),
    ],
)
def test_only_what_failed_is_named(found: SimpleNamespace, text: str) -> None:
    assert failed(gates(TOLD), found) == text  # type: ignore[arg-type]


def test_a_threshold_that_is_no_number_and_a_metric_that_is_none() -> None:
    with pytest.raises(ContainerError, match="AccuracyThreshold must be a number, got 'high'"):
        gates(["--at-least", "accuracy", "AccuracyThreshold", "high"])
    with pytest.raises(ContainerError, match="gate speed is no metric; allowed: accuracy, roc_auc, mse"):
        failed(gates(["--at-least", "speed", "SpeedThreshold", "1"]), findings(None))  # type: ignore[arg-type]
