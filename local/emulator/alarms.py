"""CloudWatch alarms of the emulated account: evaluated on each datapoint, and heard by rules and topics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse

from local.emulator.alarm_states import UNKNOWN, evaluation
from local.emulator.clock import AccountTime
from local.emulator.replaced import replaced

Emit = Callable[..., None]
Notify = Callable[[str, str, str], None]  # topic ARN, subject, message


@contextmanager
def evaluated_alarms(*, emit: Emit, notify: Notify, time: AccountTime) -> Iterator[None]:
    """While open, PutMetricData evaluates the alarms of its metrics; data without a time is of the account's.

    A change of state (by a datapoint, by `evaluate` or SetAlarmState) is emitted as an event and told to the topics
    among the actions of the new state. Alarms on an expression change by SetAlarmState alone.
    """
    create, put, update = Alarm.__init__, CloudWatchBackend.put_metric_data, Alarm.update_state
    describe = CloudWatchResponse.describe_alarms
    changing = threading.Lock()  # two evaluations at once tell of a change once

    def create_unknown(self: Any, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        self.state_value = UNKNOWN  # until its first evaluation; moto begins with OK

    def put_and_evaluate(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        now = time.now()
        put(self, namespace, [{**datum, "Timestamp": datum.get("Timestamp") or now} for datum in metric_data])
        evaluate(self, at=now, metrics={(namespace, datum["MetricName"]) for datum in metric_data})

    def update_and_tell(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        with changing:
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


def evaluate(backend: Any, *, at: datetime, metrics: Collection[tuple[str, str]] | None = None) -> None:
    """Brings alarms into the states that they have at a time: those of `metrics` (namespace, name), or all of them."""
    for alarm in list(backend.alarms.values()):
        if not alarm.metric_name or (metrics is not None and (alarm.namespace, alarm.metric_name) not in metrics):
            continue
        found = evaluation(alarm, backend.metric_data, at=at)
        if found and found[0] != alarm.state_value:
            state, reason = found
            alarm.update_state(reason, "{}", state)


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
