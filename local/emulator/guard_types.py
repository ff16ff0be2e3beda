"""Resource types that moto lacks of the services that watch and tell: alarms, topics, queues, bucket notifications."""

from __future__ import annotations

from typing import Any, Final

from moto.cloudwatch.models import MetricDataQuery, cloudwatch_backends
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.utilities.utils import get_partition

from local.emulator.resource_model import Model


class CloudWatchAlarm(Model):
    """AWS::CloudWatch::Alarm, of a metric or an expression."""

    type_name = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        alarm = cloudwatch_backends[account][region].put_metric_alarm(
            name=name,
            namespace=properties.get("Namespace", ""),
            metric_name=properties.get("MetricName", ""),
            metric_data_queries=[_query(item) for item in properties.get("Metrics", ())],
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=int(properties["EvaluationPeriods"]),
            datapoints_to_alarm=properties.get("DatapointsToAlarm"),
            period=int(properties.get("Period", 60)),
            threshold=float(properties.get("Threshold", 0)),
            statistic=properties.get("Statistic", ""),
            extended_statistic=properties.get("ExtendedStatistic"),
            description=properties.get("AlarmDescription", ""),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            ok_actions=properties.get("OKActions", []),
            insufficient_data_actions=properties.get("InsufficientDataActions", []),
            treat_missing_data=properties.get("TreatMissingData"),
            tags=properties.get("Tags", []),
        )
        return cls(name, {"Arn": alarm.alarm_arn})

    @classmethod
    def delete(cls, name: str, account: str, region: str) -> None:
        cloudwatch_backends[account][region].delete_alarms([name])


def _query(item: dict[str, Any]) -> MetricDataQuery:
    """One of an alarm's metrics, or the expression over the others; the statistic is what an evaluation needs not."""
    return MetricDataQuery(
        query_id=item["Id"],
        label=item.get("Label", ""),
        period=str(item.get("Period", "")),
        return_data=str(item.get("ReturnData", True)).lower(),
        expression=item.get("Expression"),
    )


class TopicPolicy(Model):
    """AWS::SNS::TopicPolicy; kept, not enforced."""

    type_name = "AWS::SNS::TopicPolicy"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        return cls(name)


class Subscription(Model):
    """AWS::SNS::Subscription."""

    type_name = "AWS::SNS::Subscription"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        backend = sns_backends[account][region]
        made = backend.subscribe(properties["TopicArn"], properties["Endpoint"], properties["Protocol"])
        if str(properties.get("RawMessageDelivery", "")).lower() == "true":
            made.attributes["RawMessageDelivery"] = "true"
        return cls(made.arn)


class QueuePolicy(Model):
    """AWS::SQS::QueuePolicy; kept, not enforced."""

    type_name = "AWS::SQS::QueuePolicy"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        return cls(name)


class BucketNotifications(Model):
    """The CDK's custom resource behind a bucket's notifications, of which EventBridge is emulated."""

    type_name = "Custom::S3BucketNotifications"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Model:
        backend = s3_backends[account][get_partition(region)]
        backend.put_bucket_notification_configuration(properties["BucketName"], properties["NotificationConfiguration"])
        return cls(name)


ADDED: Final = (CloudWatchAlarm, TopicPolicy, Subscription, QueuePolicy, BucketNotifications)
