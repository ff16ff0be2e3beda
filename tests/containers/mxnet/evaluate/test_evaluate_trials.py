"""Trials of a tuning job: read, ordered, drawn, and one line for each way of being damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.contract import ContainerError
from evaluate import trial_charts
from evaluate.trials import Trials, read_trials


def content(values: list[float | None], settings: list[dict[str, str]], *, kind: str = "Maximize") -> dict[str, Any]:
    return {
        "schema_version": 1,
        "tuning_job": "tune-1",
        "strategy": "Random",
        "objective": {"name": "validation:accuracy", "type": kind},
        "best": "t0",
        "trials": [
            {
                "name": f"t{index}",
                "status": "Failed" if value is None else "Completed",
                "value": value,
                "seconds": 2.5,
                "hyperparameters": chosen,
            }
            for index, (value, chosen) in enumerate(zip(values, settings, strict=True))
        ],
    }


def trials(folder: Path, *args: Any, **kwargs: Any) -> Trials:
    (folder / "trials.json").write_text(json.dumps(content(*args, **kwargs)))
    found = read_trials(folder)
    assert found is not None
    return found


def test_best_first_and_those_without_a_value_last(tmp_path: Path) -> None:
    values = [0.5, None, 0.9, 0.5, float("nan")]
    found = trials(tmp_path, values, [{}] * 5)
    assert [trial.name for trial in found.trials] == ["t2", "t0", "t3", "t1", "t4"]
    assert [trial.name for trial in found.valued] == ["t2", "t0", "t3"]
    found = trials(tmp_path, values, [{}] * 5, kind="Minimize")
    assert [trial.name for trial in found.trials] == ["t0", "t3", "t2", "t1", "t4"]


def test_no_folder_means_that_nothing_was_tuned(tmp_path: Path) -> None:
    assert read_trials(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (None, "does not exist"),
        ("{", "is not JSON"),
        ("[]", "malformed"),
        ('{"schema_version": 2}', "schema_version must be 1, got 2"),
        ({"objective": {"name": "x", "type": "Up"}}, "must be Maximize or Minimize, got 'Up'"),
        ({"objective": None}, "malformed"),
        ({"trials": [{"name": "t"}]}, "no field 'status'"),
        ({"trials": 3}, "malformed"),
        ({"trials": [{"name": "t", "status": "", "value": "high", "seconds": 1, "hyperparameters": {}}]}, "malformed"),
    ],
)
def test_damaged(tmp_path: Path, damage: Any, reason: str) -> None:
    if isinstance(damage, dict):
        damage = json.dumps({**content([0.5], [{}]), **damage})
    if damage is not None:
        (tmp_path / "trials.json").write_text(damage)
    with pytest.raises(ContainerError, match=reason) as caught:
        read_trials(tmp_path)
    assert "trials.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parallel_coordinates_by_hand(tmp_path: Path) -> None:
    settings = [
        {"learning_rate": "0.0001", "optimizer": "adam", "momentum": "0.8", "epochs": "10"},
        {"learning_rate": "0.01", "optimizer": "sgd", "momentum": "0.9", "epochs": "10"},
        {"learning_rate": "1", "optimizer": "nag", "momentum": "1.0", "epochs": "10"},
        {"learning_rate": "3", "optimizer": "nag", "momentum": "1.0", "epochs": "10"},
    ]
    drawn = trial_charts.parallel(trials(tmp_path, [0.5, 0.7, 0.6, None], settings))
    assert drawn is not None
    kinds = [(axis.name, axis.kind) for axis in drawn.axes]
    assert kinds == [
        ("learning_rate", "log"),
        ("momentum", "linear"),
        ("optimizer", "category"),
        ("validation:accuracy", "linear"),
    ]
    step, height = trial_charts.AXIS_DISTANCE, trial_charts.HEIGHT
    # worst first; the middle of the logarithmic axis is 0.01, categories are in alphabetical order from below
    assert [line.name for line in drawn.lines] == ["t0", "t2", "t1"]
    best = drawn.lines[-1]
    assert best.best
    assert best.opacity == 1.0
    assert best.points == f"0,{height / 2} {step},{height / 2} {2 * step},0.0 {3 * step},0.0"
    assert drawn.lines[0].points.startswith(f"0,{height:.1f} {step},{height:.1f} {2 * step},{height:.1f}")
    assert [text for _, text in drawn.axes[2].ticks] == ["adam", "nag", "sgd"]


def test_minimised_objectives_are_best_when_low(tmp_path: Path) -> None:
    settings = [{"x": "1"}, {"x": "2"}, {"x": "3"}]
    drawn = trial_charts.parallel(trials(tmp_path, [0.5, 0.1, 0.9], settings, kind="Minimize"))
    assert drawn is not None
    assert [(line.name, line.opacity) for line in drawn.lines][-1] == ("t1", 1.0)


def test_nothing_to_draw(tmp_path: Path) -> None:
    assert trial_charts.parallel(trials(tmp_path, [], [])) is None
    assert trial_charts.parallel(trials(tmp_path, [0.5], [{"x": "1"}])) is None
    assert trial_charts.parallel(trials(tmp_path, [0.5, 0.6], [{"x": "1"}] * 2)) is None
    assert trial_charts.columns(trials(tmp_path, [0.5, 0.6], [{"x": "1", "y": "1"}, {"x": "1", "y": "2"}])) == {
        "varied": ["y"],
        "same": [("x", "1")],
    }


def test_a_hyperparameter_that_only_some_trials_have(tmp_path: Path) -> None:
    settings = [{"rate": "1", "momentum": "0.9"}, {"rate": "2"}, {"rate": "3"}]
    found = trials(tmp_path, [0.1, 0.2, 0.3], settings)
    assert trial_charts.columns(found)["varied"] == ["momentum", "rate"]
    drawn = trial_charts.parallel(found)
    assert drawn is not None
    assert [axis.name for axis in drawn.axes] == ["rate", "validation:accuracy"]


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    rates, others = generator.uniform(0.001, 0.5, 30), generator.uniform(0, 1, 30)
    settings = [{"rate": str(rate), "other": str(other)} for rate, other in zip(rates, others, strict=True)]
    shares = trial_charts.importance(trials(tmp_path, (rates * 2).tolist(), settings))
    assert [name for name, _ in shares] == ["rate", "other"]
    assert shares[0][1] > 0.9
    assert sum(share for _, share in shares) == pytest.approx(1)


def test_importance_of_few_or_equal_trials_is_none(tmp_path: Path) -> None:
    settings = [{"a": str(index), "b": str(index % 3)} for index in range(8)]
    assert trial_charts.importance(trials(tmp_path, [*np.arange(7) / 10, None], settings)) == []
    assert trial_charts.importance(trials(tmp_path, [0.5] * 8, settings)) == []
    assert trial_charts.importance(trials(tmp_path, (np.arange(8) / 10).tolist(), settings)) != []
