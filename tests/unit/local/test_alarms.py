"""Alarms of the emulated account: evaluated by datapoints, told to rules and topics."""

from __future__ import annotations

import json
from datetime import timezone
from typing import Any

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from local.emulator.account import EmulatedAccount
from local.emulator.alarms import evaluate
from local.emulator.clock import MINUTE, minute_of

DIMENSIONS = [{"Name": "EndpointName", "Value": "e"}]
TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"


def deploy(account: EmulatedAccount, **fields: Any) -> None:
    properties = {
        "AlarmName": "alarm",
        "Namespace": "space",
        "MetricName": "errors",
        "Dimensions": DIMENSIONS,
        "Statistic": "Average",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "Threshold": 5,
        "AlarmActions": [{"Ref": "Topic"}],
    }
    template = {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "topic"}},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties | fields},
        }
    }
    account.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))


def state(account: EmulatedAccount) -> str:
    [alarm] = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return str(alarm["StateValue"])


def put(account: EmulatedAccount, **datum: Any) -> None:
    content = {"MetricName": "errors", "Dimensions": DIMENSIONS} | datum
    account.client("cloudwatch").put_metric_data(Namespace="space", MetricData=[content])


def pass_minutes(account: EmulatedAccount, count: int = 1) -> None:
    """Goes to the beginning of a later minute."""
    account.time.reach(minute_of(account.time.now()) + count * MINUTE)


def test_an_alarm_follows_its_minutes_and_tells_of_each_change_once(account: EmulatedAccount) -> None:
    deploy(account)
    assert state(account) == "INSUFFICIENT_DATA"
    put(account, Value=4.9)
    assert state(account) == "OK"
    pass_minutes(account)
    put(account, Value=5)
    put(account, Value=6)
    assert state(account) == "ALARM"
    assert account.notifications(TOPIC) == [
        ("ALARM: alarm", "Datapoints, newest last: -, 4.9, 5; threshold: 5"),
    ]
    pass_minutes(account)
    put(account, Value=0)
    assert state(account) == "OK"


@pytest.mark.parametrize(
    ("missing", "later"), [("notBreaching", "OK"), ("ignore", "ALARM"), ("missing", "INSUFFICIENT_DATA")]
)
def test_silence_is_what_the_alarm_takes_it_for(account: EmulatedAccount, missing: str, later: str) -> None:
    deploy(account, TreatMissingData=missing)
    put(account, Value=9)
    backend = cloudwatch_backends[account.account_id][account.region]
    evaluate(backend, at=account.time.now())
    assert state(account) == "ALARM"
    pass_minutes(account, 5)
    evaluate(backend, at=account.time.now())
    assert state(account) == later


def test_one_bad_minute_of_three_is_no_alarm(account: EmulatedAccount) -> None:
    deploy(account, EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="notBreaching")
    states = []
    for value in (9, 1, 9, 1, 1):
        put(account, Value=value)
        states.append(state(account))
        pass_minutes(account)
    assert states == ["OK", "OK", "ALARM", "OK", "OK"]


def test_a_datum_of_another_time_is_of_that_time(account: EmulatedAccount) -> None:
    deploy(account, TreatMissingData="notBreaching")
    put(account, Value=9, Timestamp=account.time.now() - 10 * MINUTE)
    assert state(account) == "OK"
    put(account, Value=9, Timestamp=account.time.now().replace(tzinfo=timezone.utc))
    assert state(account) == "ALARM"


@pytest.mark.parametrize(
    "datum",
    [{"MetricName": "other", "Value": 9}, {"Dimensions": [], "Value": 9}],
    ids=["another metric", "other dimensions"],
)
def test_what_an_alarm_does_not_watch_leaves_it_alone(account: EmulatedAccount, datum: dict[str, Any]) -> None:
    deploy(account)
    put(account, **datum)
    assert state(account) == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("statistic", "datum", "ringing"),
    [
        ("Average", {"Values": [1, 8]}, False),
        ("Sum", {"Values": [1, 8]}, True),
        ("Maximum", {"Values": [1, 8]}, True),
        ("Minimum", {"Values": [1, 8]}, False),
        ("Average", {"StatisticValues": {"SampleCount": 2, "Sum": 8, "Minimum": 1, "Maximum": 7}}, False),
    ],
)
def test_several_values_are_reduced_by_the_statistic(
    account: EmulatedAccount, statistic: str, datum: dict[str, Any], ringing: bool
) -> None:
    deploy(account, Statistic=statistic)
    put(account, **datum)
    assert (state(account) == "ALARM") is ringing


def test_a_change_of_state_is_an_event(account: EmulatedAccount) -> None:
    deploy(account)
    sqs, events = account.client("sqs"), account.client("events")
    sqs.create_queue(QueueName="q")
    events.put_rule(Name="r", EventPattern=json.dumps({"detail-type": ["CloudWatch Alarm State Change"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}])
    account.client("cloudwatch").set_alarm_state(AlarmName="alarm", StateValue="ALARM", StateReason="drill")
    [delivery] = account.events.deliveries
    detail = delivery.content["detail"]
    assert (detail["alarmName"], detail["state"]["value"]) == ("alarm", "ALARM")
    assert detail["previousState"]["value"] == "INSUFFICIENT_DATA"


def test_alarms_are_described_by_name_and_state_together(account: EmulatedAccount) -> None:
    deploy(account)
    client = account.client("cloudwatch")
    assert client.describe_alarms(AlarmNames=["alarm"], StateValue="ALARM")["MetricAlarms"] == []
    put(account, Value=9)
    assert len(client.describe_alarms(AlarmNames=["alarm"], StateValue="ALARM")["MetricAlarms"]) == 1
