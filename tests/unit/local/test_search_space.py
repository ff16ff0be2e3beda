"""Ranges of a tuning job: scaling, bounds, and the way of a value to the wire and back."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from small_pipeline import ranges

from local.errors import LocalRunError
from local.executor.search import Search
from local.executor.search_space import search_space


def proposals(given: dict[str, Any], count: int = 200) -> list[dict[str, str]]:
    config = {
        "Strategy": "Random",
        "ParameterRanges": given,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "m"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": count, "MaxParallelTrainingJobs": 1},
    }
    search = Search(config, seed=1, epochs=None)
    return [dict(search.propose().hyperparameters) for _ in range(count)]


@pytest.mark.parametrize(
    ("scaling", "low", "high", "median"),
    [
        ("Linear", 0.0001, 1.0, 0.5),
        ("Logarithmic", 0.0001, 1.0, 0.01),
        ("Auto", 0.0001, 1.0, 0.01),  # four orders of magnitude
        ("Auto", 0.5, 0.9, 0.7),
        ("ReverseLogarithmic", 0.9, 0.9999, 0.9968),
    ],
)
def test_scaling(scaling: str, low: float, high: float, median: float) -> None:
    values = [float(item["x"]) for item in proposals(ranges(continuous={"x": (low, high)}, scaling=scaling))]
    assert all(low <= value <= high for value in values)
    if scaling == "ReverseLogarithmic":
        assert statistics.median(values) == pytest.approx(median, abs=0.002)
    else:
        assert 0.5 * median < statistics.median(values) < 2 * median


def test_whole_numbers_and_categories() -> None:
    tried = proposals(ranges(integer={"n": (2, 5)}, categorical={"c": ["sgd", "adam"]}))
    assert {item["n"] for item in tried} == {"2", "3", "4", "5"}
    assert {item["c"] for item in tried} == {"sgd", "adam"}


def test_the_way_to_the_wire_and_back() -> None:
    space = search_space(ranges(integer={"n": (2, 5)}, categorical={"c": ["1", "2"]}))
    space |= search_space(ranges(continuous={"x": (0.5, 0.75)}, scaling="ReverseLogarithmic"))
    assert space["x"].wire(0.375) == "0.625"
    assert [space["x"].internal(text) for text in ("0.625", "0.4", "x", "")] == [0.375, None, None, None]
    assert [space["n"].internal(text) for text in ("3", "6", "3.5")] == [3, None, None]
    assert [space["c"].internal(text) for text in ("2", "3")] == ["2", None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ranges(continuous={"x": (1, 0.5)}), "range of x: the minimum 1 is above the maximum 0.5: swap them"),
        (ranges(integer={"n": (1, 2.5)}), "range of n: '2.5' is not a whole number"),
        (ranges(continuous={"x": ("a", 1)}), "range of x: 'a' is not a number"),
        (ranges(continuous={"x": (0, 1)}, scaling="Logarithmic"), "range of x: Logarithmic takes values above 0"),
        (ranges(continuous={"x": (0, 1)}, scaling="ReverseLogarithmic"), "from 0 and below 1, not 0 to 1"),
        (ranges(integer={"n": (1, 9)}, scaling="ReverseLogarithmic"), "ReverseLogarithmic is for continuous values"),
        (ranges(integer={"n": (1, 9)}, categorical={"n": ["a"]}), "hyperparameter n has two ranges"),
        ({"AutoParameters": [{"Name": "n", "ValueHint": "1"}]}, "AutoParameters are chosen by the service alone"),
    ],
)
def test_ranges_that_are_none(given: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalRunError, match="tuning: ") as raised:
        search_space(given)
    assert message in str(raised.value)
