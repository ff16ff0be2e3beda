"""Removing an idle endpoint, against an emulated account."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

from functions.stop_idle_endpoint import handler as stop

NAME = "imgpipe-dev"


@pytest.fixture
def sagemaker(monkeypatch):
    """An account with an endpoint that was made five hours ago."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        topic = boto3.client("sns").create_topic(Name="notifications")["TopicArn"]
        for name, value in {"ENDPOINT_NAME": NAME, "IDLE_HOURS": "4", "TOPIC_ARN": topic}.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("sagemaker")
        client.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint")
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.c5.large"}
        client.create_endpoint_config(
            EndpointConfigName="m", ProductionVariants=[variant | {"InitialInstanceCount": 1}]
        )
        client.create_endpoint(EndpointName=NAME, EndpointConfigName="m")
        _endpoint().last_modified_time = datetime.now(timezone.utc) - timedelta(hours=5)
        yield client


def _endpoint():
    return sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].endpoints[NAME]


def _invoke(*, hours_ago: float) -> None:
    dimensions = [{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "AllTraffic"}]
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "Invocations",
                "Dimensions": dimensions,
                "Value": 1,
                "Timestamp": datetime.now(timezone.utc) - timedelta(hours=hours_ago),
            }
        ],
    )


def _names(client) -> list[str]:
    return [endpoint["EndpointName"] for endpoint in client.list_endpoints()["Endpoints"]]


def test_idle_endpoint_goes_and_what_it_is_made_from_stays(sagemaker):
    _invoke(hours_ago=10)
    assert stop.handler({}, None) == {"stopped": True, "reason": "no request for 4 hours"}
    assert _names(sagemaker) == []
    assert sagemaker.describe_endpoint_config(EndpointConfigName="m")
    assert sagemaker.describe_model(ModelName="m")


def test_used_endpoint_stays(sagemaker):
    _invoke(hours_ago=3)
    assert stop.handler({}, None) == {"stopped": False, "reason": "1 requests in 4 hours"}
    assert _names(sagemaker) == [NAME]


def test_young_endpoint_stays(sagemaker):
    _endpoint().last_modified_time = datetime.now(timezone.utc) - timedelta(hours=1)
    answer = stop.handler({}, None)
    assert not answer["stopped"]
    assert "less than 4 hours ago" in answer["reason"]
    assert _names(sagemaker) == [NAME]


def test_endpoint_that_somebody_works_on_stays(sagemaker):
    _endpoint().endpoint_status = "Updating"
    assert stop.handler({}, None) == {"stopped": False, "reason": "the endpoint is Updating"}
    assert _names(sagemaker) == [NAME]


def test_without_an_endpoint_there_is_nothing_to_do(sagemaker):
    sagemaker.delete_endpoint(EndpointName=NAME)
    assert stop.handler({}, None) == {"stopped": False, "reason": "there is no endpoint"}


def test_autoscaling_goes_with_the_endpoint_and_somebody_is_told(sagemaker, monkeypatch):
    scaling = boto3.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    told = []
    monkeypatch.setattr(stop, "_notify", lambda endpoint, reason: told.append((endpoint, reason)))
    assert stop.handler({}, None)["stopped"]
    assert not scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert told == [(NAME, "no request for 4 hours")]
