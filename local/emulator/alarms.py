"""CloudWatch alarms of the emulated account: evaluated on each datapoint, and heard by rules and topics."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse

from local.emulator.replaced import replaced

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# An alarm's state before its first datapoint; moto begins with OK.
_UNKNOWN: Final = "INSUFFICIENT_DATA"
Emit = Callable[..., None]
Notify = Callable[[str, str, str], None]  # topic ARN, subject, message


@contextmanager
def evaluated_alarms(*, emit: Emit, notify: Notify) -> Iterator[None]:
    """While open, PutMetricData evaluates the alarms of its metrics by their newest datapoint.

    A change of state (by a datapoint or SetAlarmState) is emitted as an event and told to the topics among the actions
    of the new state. Alarms on an expression change by SetAlarmState alone.
    """
    create, put, update = Alarm.__init__, CloudWatchBackend.put_metric_data, Alarm.update_state
    describe = CloudWatchResponse.describe_alarms

    def create_unknown(self: Any, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        self.state_value = _UNKNOWN

    def put_and_evaluate(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        put(self, namespace, metric_data)
        for datum in metric_data:
            for alarm in list(self.alarms.values()):
                _evaluate(alarm, namespace, datum)

    def update_and_tell(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        earlier = self.state_value
        update(self, reason, reason_data, state_value)
        if earlier != state_value:
            _tell(self, earlier, emit=emit, notify=notify)

    def describe_in_state(self: Any) -> Any:
        """moto takes no notice of StateValue beside names."""
        answer, wanted = describe(self), self._get_param("StateValue")
        for kind, alarms in answer.result.items():
            answer.result[kind] = [alarm for alarm in alarms if wanted in (None, alarm.state_value)]
        return answer

    with ExitStack() as stack:
        stack.enter_context(replaced(CloudWatchResponse, describe_alarms=describe_in_state))
        stack.enter_context(replaced(Alarm, __init__=create_unknown, update_state=update_and_tell))
        stack.enter_context(replaced(CloudWatchBackend, put_metric_data=put_and_evaluate))
        yield


def _evaluate(alarm: Any, namespace: str, datum: Mapping[str, Any]) -> None:
    if (alarm.namespace, alarm.metric_name) != (namespace, datum["MetricName"]):
        return
    if {(item.name, item.value) for item in alarm.dimensions} != {
        (item["Name"], item["Value"]) for item in datum.get("Dimensions", ())
    }:
        return
    value, threshold = _value(datum, alarm.statistic), float(alarm.threshold)
    breaching = _COMPARISONS[alarm.comparison_operator](value, threshold)
    state = "ALARM" if breaching else "OK"
    if state != alarm.state_value:
        alarm.update_state(f"Threshold Crossed: datapoint {value:g}, threshold {threshold:g}", "{}", state)


def _value(datum: Mapping[str, Any], statistic: str | None) -> float:
    """A datapoint's value; of several the one that the statistic asks for, percentiles as their maximum."""
    if statistics := datum.get("StatisticValues"):
        average = float(statistics["Sum"]) / float(statistics["SampleCount"])
        by_name = {"Sum": statistics["Sum"], "Minimum": statistics["Minimum"], "Average": average}
        return float(by_name.get(str(statistic), statistics["Maximum"]))
    values = [float(item) for item in datum.get("Values") or [datum.get("Value", 0)]]
    reduced = {"Sum": sum(values), "Minimum": min(values), "Average": sum(values) / len(values)}
    return reduced.get(str(statistic), max(values))


def _tell(alarm: Any, earlier: str, *, emit: Emit, notify: Notify) -> None:
    detail = {
        "alarmName": alarm.name,
        "state": {"value": alarm.state_value, "reason": alarm.state_reason, "reasonData": alarm.state_reason_data},
        "previousState": {"value": earlier},
        "configuration": {"description": alarm.description},
    }
    emit(source="aws.cloudwatch", kind="CloudWatch Alarm State Change", detail=detail, resources=[alarm.alarm_arn])
    actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}.get(
        alarm.state_value, alarm.insufficient_data_actions
    )
    for action in actions if alarm.actions_enabled else ():
        if action.split(":")[2] == "sns":
            notify(action, f"{alarm.state_value}: {alarm.name}", alarm.state_reason)
