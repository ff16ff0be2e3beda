"""The alarms that guard the endpoint: they roll a deployment back, and at other times they notify."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.settings import EnvironmentSettings
from infra.workflows.deployment.context import ENDPOINT_DIMENSION, METRIC_NAMESPACE, SMOKE_METRIC, VARIANT

_RUNBOOK = "docs/operations.md"
_MINUTE = cdk.Duration.minutes(1)
# CloudWatch has the model's latency in microseconds: "Metrics for monitoring Amazon SageMaker".
_MICROSECONDS = 1000


class EndpointAlarms(Construct):
    """Share of 5xx, latency, and failed smoke tests; silence is no alarm.

    The first two ask for two bad minutes of three, so that one slow or failed request rolls nothing back. A failed
    smoke test stays an alarm for minutes, so that the deployment cannot miss it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._topic = settings, topic
        serving = settings.serving
        self.errors = self._alarm(
            "Errors",
            "endpoint-errors",
            self._endpoint_metric("Invocation5XXErrors", "Average"),
            threshold=serving.error_rate_percent / 100,
            what=f"more than {serving.error_rate_percent:g} % of the requests are answered with 5xx",
            of=(2, 3),
        )
        self.latency = self._alarm(
            "Latency",
            "endpoint-latency",
            self._endpoint_metric("ModelLatency", "p99"),
            threshold=serving.latency_ms * _MICROSECONDS,
            what=f"one request in a hundred takes the model longer than {serving.latency_ms} ms",
            of=(2, 3),
        )
        self.smoke = self._alarm(
            "SmokeTest",
            "endpoint-smoke-test",
            cloudwatch.Metric(
                namespace=METRIC_NAMESPACE,
                metric_name=SMOKE_METRIC,
                dimensions_map={ENDPOINT_DIMENSION: settings.endpoint_name},
                statistic="Sum",
                period=_MINUTE,
            ),
            threshold=0,
            what="a new model gives a wrong answer to its packaged sample",
            of=(1, 3),
        )

    @property
    def arns(self) -> list[str]:
        """ARNs of all three."""
        return [alarm.alarm_arn for alarm in (self.errors, self.latency, self.smoke)]

    def _endpoint_metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map={"EndpointName": self._settings.endpoint_name, "VariantName": VARIANT},
            statistic=statistic,
            period=_MINUTE,
        )

    def _alarm(
        self,
        construct_id: str,
        name: str,
        metric: cloudwatch.Metric,
        *,
        threshold: float,
        what: str,
        of: tuple[int, int],
    ) -> cloudwatch.Alarm:
        bad, periods = of
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"{self._settings.prefix}-{name}",
            alarm_description=f"Endpoint {self._settings.endpoint_name}: {what}. What to do: {_RUNBOOK}#alarm-{name}",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=bad,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))
        return alarm
