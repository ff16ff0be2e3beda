"""The start_retrain function: cool-down, monthly limit, and one execution for one of the monitor."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from functions.start_retrain import handler as start_retrain

NOW = datetime.datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=datetime.timezone.utc)
PIPELINE = "imgpipe-dev-retrain"
ARN = f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{PIPELINE}/execution/"
TOPIC = "arn:aws:sns:us-east-1:123456789012:imgpipe-dev-notifications"
MONITOR = "arn:aws:states:us-east-1:123456789012:execution:imgpipe-dev-monitor:one"
EVENT = {"id": MONITOR, "time": "2026-01-31T12:00:00.123Z"}
NAME = f"drift-2026-01-31-{hashlib.sha256(MONITOR.encode()).hexdigest()[:12]}"


class Service:
    """What SageMaker is to answer, and what was published."""

    def __init__(self, sagemaker: Stubber, sns: Stubber) -> None:
        self.sagemaker, self.sns = sagemaker, sns

    def lists(self, *executions: dict[str, Any]) -> None:
        self.sagemaker.add_response(
            "list_pipeline_executions",
            {"PipelineExecutionSummaries": list(executions)},
            {
                "PipelineName": PIPELINE,
                "CreatedAfter": NOW - datetime.timedelta(days=30),
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
            },
        )

    def starts(self, token: Any = ANY) -> None:
        self.sagemaker.add_response(
            "start_pipeline_execution",
            {"PipelineExecutionArn": f"{ARN}new"},
            {
                "PipelineName": PIPELINE,
                "PipelineExecutionDisplayName": NAME,
                "PipelineExecutionDescription": f"Started by {MONITOR}: the monitor found drift",
                "ClientRequestToken": token,
            },
        )

    def says(self, subject: str, message: Any = ANY) -> None:
        self.sns.add_response(
            "publish", {"MessageId": "1"}, {"TopicArn": TOPIC, "Subject": subject, "Message": message}
        )

    def done(self) -> None:
        self.sagemaker.assert_no_pending_responses()
        self.sns.assert_no_pending_responses()


def _execution(days: float, name: str | None = "drift-2026-01-20", status: str = "Succeeded") -> dict[str, Any]:
    summary: dict[str, Any] = {
        "PipelineExecutionArn": f"{ARN}{days}",
        "StartTime": NOW - datetime.timedelta(days=days),
        "PipelineExecutionStatus": status,
    }
    return summary | ({"PipelineExecutionDisplayName": name} if name else {})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PIPELINE_NAME": PIPELINE,
        "COOL_DOWN_DAYS": "7",
        "MONTHLY_LIMIT": "2",
        "TOPIC_ARN": TOPIC,
    }.items():
        monkeypatch.setenv(name, value)
    clients = {name: boto3.client(name) for name in ("sagemaker", "sns")}  # type: ignore[call-overload]
    monkeypatch.setattr(start_retrain.boto3, "client", lambda name, **options: clients[name])
    with Stubber(clients["sagemaker"]) as sagemaker, Stubber(clients["sns"]) as sns:
        yield Service(sagemaker, sns)


STARTS: list[Sequence[dict[str, Any]]] = [
    [],
    [_execution(8)],
    [_execution(1, name=None), _execution(2, name="by-hand")],
    [_execution(7.0), _execution(30.5)],
]


@pytest.mark.parametrize("earlier", STARTS)
def test_drift_starts_retraining(service: Service, earlier: Sequence[dict[str, Any]]) -> None:
    service.lists(*earlier)
    service.starts()
    service.says(f"{PIPELINE} started", f"Drift was found at the endpoint. {PIPELINE} was started: {ARN}new.")
    assert start_retrain.handler(EVENT, None) == {
        "started": True,
        "reason": "the monitor found drift",
        "execution_arn": f"{ARN}new",
    }
    service.done()


REFUSALS: list[tuple[Sequence[dict[str, Any]], str]] = [
    ([_execution(6.9)], "the last start was at 2026-01-24 14:24 UTC, and there are 7 days between two"),
    ([_execution(6.9, status="Failed")], "7 days between two (monitoring.retrain_cool_down_days)"),
    ([_execution(8), _execution(20)], "2 starts within 30 days are the limit (monitoring.retrain_monthly_limit)"),
    ([_execution(0.1, name=None, status="Executing")], f"{ARN}0.1 is running"),
    ([_execution(9, status="Stopping")], "is running"),
]


@pytest.mark.parametrize(("earlier", "reason"), REFUSALS)
def test_too_soon_or_too_often_starts_nothing_and_says_why(
    service: Service, earlier: Sequence[dict[str, Any]], reason: str
) -> None:
    service.lists(*earlier)
    service.says(f"{PIPELINE} not started")
    result = start_retrain.handler(EVENT, None)
    assert (result["started"], result["execution_arn"]) == (False, None)
    assert reason in result["reason"]
    service.done()


def test_every_page_is_read(service: Service) -> None:
    service.sagemaker.add_response(
        "list_pipeline_executions", {"PipelineExecutionSummaries": [], "NextToken": "more"}, None
    )
    service.sagemaker.add_response("list_pipeline_executions", {"PipelineExecutionSummaries": [_execution(3)]}, None)
    service.says(f"{PIPELINE} not started")
    assert not start_retrain.handler(EVENT, None)["started"]


def test_an_execution_of_the_monitor_has_one_token_and_another_one_another(service: Service) -> None:
    token = start_retrain._token(EVENT)
    assert token == start_retrain._token(dict(EVENT))
    assert 32 <= len(token) <= 128
    assert token != start_retrain._token(EVENT | {"id": "other"})
    service.lists()
    service.starts(token)
    service.says(f"{PIPELINE} started")
    start_retrain.handler(EVENT, None)


def test_a_try_after_a_failed_notification_recognises_its_own_execution(service: Service) -> None:
    service.lists()
    service.starts()
    service.sns.add_client_error("publish", "InternalError")
    with pytest.raises(ClientError, match="InternalError"):
        start_retrain.handler(EVENT, None)
    service.lists(_execution(0, name=NAME, status="Executing"))
    service.says(f"{PIPELINE} started")
    assert start_retrain.handler(EVENT, None) == {
        "started": True,
        "reason": "the monitor found drift",
        "execution_arn": f"{ARN}0",
    }
    service.done()


def test_a_longer_cool_down_than_a_month_looks_back_far_enough(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOL_DOWN_DAYS", "90")
    service.sagemaker.add_response(
        "list_pipeline_executions",
        {"PipelineExecutionSummaries": [_execution(80)]},
        {
            "PipelineName": PIPELINE,
            "CreatedAfter": NOW - datetime.timedelta(days=90),
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
        },
    )
    service.says(f"{PIPELINE} not started")
    assert "90 days between two" in start_retrain.handler(EVENT, None)["reason"]


def test_an_error_of_the_service_is_not_swallowed(service: Service) -> None:
    service.lists()
    service.sagemaker.add_client_error("start_pipeline_execution", "ResourceLimitExceeded")
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        start_retrain.handler(EVENT, None)
