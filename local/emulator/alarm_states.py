"""In which state an alarm of CloudWatch is: its metric's datapoints, M out of N of which breach the threshold.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from moto.cloudwatch.models import MetricAggregatedDatum, Statistics

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# Older periods that stand in for missing ones; how many they are is documented by the page's examples alone.
_FURTHER_BACK: Final = 2
_PERCENT: Final = 100
UNKNOWN: Final = "INSUFFICIENT_DATA"


def evaluation(alarm: Any, metric_data: Iterable[Any], *, at: datetime) -> tuple[str, str] | None:
    """The state of moto's `alarm` at a time and the reason in words; None where it stays as it is."""
    threshold, compare = float(alarm.threshold), _COMPARISONS[alarm.comparison_operator]
    points = _datapoints(alarm, metric_data, at=at)
    state = state_of(
        [None if point is None else compare(point, threshold) for point in points],
        periods=alarm.evaluation_periods,
        needed=alarm.datapoints_to_alarm or alarm.evaluation_periods,
        missing=alarm.treat_missing_data or "missing",
    )
    if state is None:
        return None
    shown = ", ".join("-" if point is None else f"{point:g}" for point in points)
    return state, f"Datapoints, newest last: {shown}; threshold: {threshold:g}"


def state_of(breaching: Sequence[bool | None], *, periods: int, needed: int, missing: str) -> str | None:
    """The state for datapoints that breach the threshold, do not, or are missing (None), newest last.

    `needed` of `periods` make an alarm; `missing` is TreatMissingData. None stands for the state that there is.
    """
    found = [point for point in breaching if point is not None][-periods:]
    lacking = periods - len(found)
    if lacking and missing in ("breaching", "notBreaching"):
        found += [missing == "breaching"] * lacking
    if not found:
        return UNKNOWN if missing == "missing" else None
    if sum(found) >= needed:
        return "ALARM"
    if lacking and all(found):  # too few to tell, unless the silence after them lasts: "premature transitions"
        lasts = len(breaching) - breaching.index(True) >= needed
        return "ALARM" if lasts and missing == "missing" else None
    return "OK"


def _datapoints(alarm: Any, metric_data: Iterable[Any], *, at: datetime) -> list[float | None]:
    """The alarm's statistic of each period, the newest last, which is the one that `at` lies in."""
    dimensions = {(item.name, item.value) for item in alarm.dimensions}
    last, count = _period(at, alarm.period), alarm.evaluation_periods + _FURTHER_BACK
    periods: list[list[Any]] = [[] for _ in range(count)]
    for datum in metric_data:
        if (datum.name, datum.namespace) != (alarm.metric_name, alarm.namespace):
            continue
        if {(item.name, item.value) for item in datum.dimensions} != dimensions:
            continue
        ago = last - _period(datum.timestamp, alarm.period)
        if 0 <= ago < count:
            periods[-1 - ago].append(datum)
    statistic = alarm.extended_statistic or alarm.statistic
    return [_statistic(data, statistic) if data else None for data in periods]


def _period(moment: datetime, seconds: int) -> int:
    utc = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (utc - datetime.fromtimestamp(0, timezone.utc)) // timedelta(seconds=int(seconds))


def _statistic(data: list[Any], name: str) -> float:
    """A statistic of CloudWatch; a percentile is that of the values, of which summed up ones give their maximum."""
    if name.startswith("p"):
        values = sorted(item.max if isinstance(item, MetricAggregatedDatum) else item.value for item in data)
        return float(values[max(0, math.ceil(len(values) * float(name[1:]) / _PERCENT) - 1)])
    statistics = Statistics([name], data[0].timestamp)
    statistics.metric_data = data
    return float(statistics.get_statistics_for_type(name))
