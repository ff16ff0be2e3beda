"""States of alarms: the examples of CloudWatch's own page, and the statistics that datapoints are made of."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

from local.emulator.alarm_states import evaluation, state_of

NOW = datetime(2026, 1, 1, 12, 0, 30)
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
MEANING = {"0": False, "X": True, "-": None}
DIMENSIONS = [{"Name": "EndpointName", "Value": "e"}]


def points(text: str) -> list[bool | None]:
    return [MEANING[item] for item in text.split()]


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html: both tables, and the text
# about "- - - - X" and "- - - X -" below them.
@pytest.mark.parametrize(
    ("needed", "seen", "states"),
    [
        (3, "0 - X - X", ["OK", "OK", "OK", "OK"]),
        (3, "0 - - - -", ["OK", "OK", "OK", "OK"]),
        (3, "- - - - -", ["INSUFFICIENT_DATA", None, "ALARM", "OK"]),
        (3, "0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, "- - X - -", ["ALARM", None, "ALARM", "OK"]),
        (3, "- - - - X", [None, None, "ALARM", "OK"]),
        (3, "- - - X -", [None, None, "ALARM", "OK"]),
        (2, "0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "0 - X - -", ["OK", "OK", "ALARM", "OK"]),
        (2, "- - - - 0", ["OK", "OK", "ALARM", "OK"]),
        (2, "- - - X -", ["ALARM", None, "ALARM", "OK"]),
    ],
)
def test_states_are_those_of_the_documentation(needed: int, seen: str, states: list[str | None]) -> None:
    found = [state_of(points(seen), periods=3, needed=needed, missing=treatment) for treatment in TREATMENTS]
    assert found == states


def alarm(**fields: Any) -> SimpleNamespace:
    """What moto keeps of an alarm: two of three minutes above 5."""
    content = {
        "namespace": "space",
        "metric_name": "errors",
        "dimensions": [SimpleNamespace(name="EndpointName", value="e")],
        "statistic": "Average",
        "extended_statistic": None,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 5.0,
        "period": 60,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "treat_missing_data": "notBreaching",
    }
    return SimpleNamespace(**content | fields)


def datum(value: float, *, ago: int = 0, at: datetime = NOW) -> MetricDatum:
    """A value of so many minutes ago."""
    return MetricDatum("space", "errors", value, DIMENSIONS, at - timedelta(minutes=ago))


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([datum(9, ago=0), datum(9, ago=1)], "ALARM"),
        ([datum(9, ago=0), datum(9, ago=0)], "OK"),
        ([datum(9, ago=0), datum(5, ago=1), datum(9, ago=2)], "ALARM"),
        ([datum(9, ago=3), datum(9, ago=2), datum(1, ago=1), datum(1, ago=0)], "OK"),
        ([datum(9, ago=5), datum(9, ago=6)], "OK"),
        ([datum(9, ago=-1), datum(9, ago=-2)], "OK"),
        ([datum(9, ago=0), datum(9, ago=1, at=NOW.replace(tzinfo=timezone.utc))], "ALARM"),
    ],
    ids=["two of three", "one minute alone", "with one between", "over", "too old", "to come", "with a time zone"],
)
def test_an_alarm_asks_for_several_bad_periods(values: list[MetricDatum], state: str) -> None:
    found = evaluation(alarm(), values, at=NOW)
    assert found is not None
    assert found[0] == state


def test_periods_are_as_long_as_the_alarm_says() -> None:
    values = [datum(9, ago=0), datum(9, ago=59), datum(1, ago=60)]
    found = evaluation(alarm(period=3600), values, at=NOW)
    assert found == ("OK", "Datapoints, newest last: -, -, -, 5, 9; threshold: 5")


@pytest.mark.parametrize(
    ("statistic", "extended", "shown"),
    [
        ("Sum", None, "5050"),
        ("Average", None, "50.5"),
        ("Minimum", None, "1"),
        ("Maximum", None, "100"),
        ("SampleCount", None, "100"),
        ("", "p99", "99"),
        ("", "p50", "50"),
        ("", "p99.9", "100"),
    ],
)
def test_a_datapoint_is_the_alarms_statistic_of_its_period(statistic: str, extended: str | None, shown: str) -> None:
    values = [datum(value) for value in range(100, 0, -1)]
    found = evaluation(alarm(statistic=statistic, extended_statistic=extended), values, at=NOW)
    assert found is not None
    assert found[1] == f"Datapoints, newest last: -, -, -, -, {shown}; threshold: 5"


def test_summed_up_values_count_as_what_they_are_the_sum_of() -> None:
    summed = MetricAggregatedDatum("space", "errors", 1.0, 7.0, 2.0, 8.0, DIMENSIONS, NOW)
    for statistic, extended, shown in (("Average", None, "4"), ("SampleCount", None, "2"), ("", "p99", "7")):
        found = evaluation(alarm(statistic=statistic, extended_statistic=extended), [summed], at=NOW)
        assert found is not None
        assert found[1].startswith(f"Datapoints, newest last: -, -, -, -, {shown};")
