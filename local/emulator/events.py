"""EventBridge's deliveries, which moto lacks: events that a rule matches reach state machines, functions and topics."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from moto.events.models import Rule, events_backends
from moto.events.utils import _BASE_EVENT_MESSAGE

from local.emulator.event_input import target_input
from local.emulator.replaced import replaced
from local.errors import LocalRunError

_DEFAULT_BUS: Final = "default"
_NAME_LENGTH: Final = 80  # of a state machine's execution
Client = Callable[[str], Any]
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a rule's target was sent and what came of it; `error` is None where the target took it."""

    rule: str
    target: str
    content: Any
    answer: Any = None
    error: str | None = None


class EventBus:
    """The default event bus of an account; `deliveries` has every delivery in order, failed ones too."""

    def __init__(self, *, account: str, region: str, client: Client) -> None:
        self._account, self._region, self._client = account, region, client
        self.deliveries: list[Delivery] = []

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """While open, what services do in this thread is no event: it happened before, in an earlier account."""
        token = _quiet.set(True)
        try:
            yield
        finally:
            _quiet.reset(token)

    def emit(self, *, source: str, kind: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        """Sends an event of a service, which PutEvents would refuse, to the rules that match."""
        if _quiet.get():
            return
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": self._account,
            "time": _now(),
            "region": self._region,
            "resources": resources,
            "detail": dict(detail),
        }
        for rule in self._rules():
            rule.send_to_targets(event)

    def fire_schedule(self, rule_name: str) -> list[Delivery]:
        """Sends a scheduled rule's targets what EventBridge sends at its times; no schedule runs by itself here.

        Raises LocalRunError where there is no such rule or it has no schedule.
        """
        rules = {rule.name: rule for rule in self._rules() if rule.scheduled_expression}
        if rule_name not in rules:
            raise LocalRunError(f"no scheduled rule {rule_name!r}: there are {', '.join(sorted(rules)) or 'none'}")
        rule = rules[rule_name]
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": self._account,
            "time": _now(),
            "region": self._region,
            "resources": [rule.arn],
            "detail": {},
        }
        begin = len(self.deliveries)
        for target in rule.targets:
            self.deliver(rule, target, event)
        return self.deliveries[begin:]

    def deliver(self, rule: Any, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Sends one target what it asks for; a failure goes to its dead-letter queue, and is written down."""
        content = target_input(target, event, rule_name=rule.name, rule_arn=rule.arn)
        try:
            answer, error = self._send(target, content, event["id"]), None
        except Exception as failure:  # whatever it is, the sender of an event never hears of it
            answer, error = None, f"{type(failure).__name__}: {failure}"
            if queue := target.get("DeadLetterConfig", {}).get("Arn"):
                self._send_to_queue({"Arn": queue}, json.dumps(event))
        self.deliveries.append(
            Delivery(rule=rule.name, target=target["Arn"], content=content, answer=answer, error=error)
        )

    def _rules(self) -> list[Any]:
        buses = events_backends[self._account][self._region].event_buses
        return list(buses[_DEFAULT_BUS].rules.values()) if _DEFAULT_BUS in buses else []

    def _send(self, target: Mapping[str, Any], content: Any, event_id: str) -> Any:
        service = target["Arn"].split(":")[2]
        text = json.dumps(content)
        if service == "states":
            name = f"{event_id}_{uuid.uuid4()}"[:_NAME_LENGTH]
            client = self._client("stepfunctions")
            return client.start_execution(stateMachineArn=target["Arn"], name=name, input=text)["executionArn"]
        if service == "lambda":
            answer = self._client("lambda").invoke(FunctionName=target["Arn"], Payload=text)
            payload = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                raise LocalRunError(f"{payload['errorType']}: {payload['errorMessage']}")
            return payload
        if service == "sns":
            message = content if isinstance(content, str) else text
            return self._client("sns").publish(TopicArn=target["Arn"], Message=message)["MessageId"]
        if service == "sqs":
            return self._send_to_queue(target, text)
        if service == "sagemaker":
            parameters = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
            client, name = self._client("sagemaker"), target["Arn"].rsplit("/", 1)[-1]
            return client.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)
        raise LocalRunError(f"the emulator delivers no events to {target['Arn']}: add {service} to emulator/events.py")

    def _send_to_queue(self, target: Mapping[str, Any], text: str) -> Any:
        sqs = self._client("sqs")
        url = sqs.get_queue_url(QueueName=target["Arn"].rsplit(":", 1)[-1])["QueueUrl"]
        return sqs.send_message(QueueUrl=url, MessageBody=text)["MessageId"]


@contextmanager
def delivered_events(bus: EventBus) -> Iterator[None]:
    """While open, events that reach moto's rules (from PutEvents, S3, `bus.emit`) are delivered."""

    def send(self: Any, original_event: Mapping[str, Any], transform_input: bool = True) -> None:
        # A rule that has a schedule alone has no pattern, which moto takes for one that everything matches.
        if self.state != "ENABLED" or not self.event_pattern.get_pattern():
            return
        event = {key: value for key, value in original_event.items() if key != "ingestion-time"}
        if not isinstance(event["time"], str):
            event["time"] = _now()
        if event["id"] == _BASE_EVENT_MESSAGE["id"]:  # moto gives all events of S3 the same
            event["id"] = str(uuid.uuid4())
        if self.event_pattern.matches_event(event):
            for target in list(self.targets):
                bus.deliver(self, target, event)

    with replaced(Rule, send_to_targets=send):
        yield


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
