"""Alarms that notify, each from a specification; each says what happened and where the runbook says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.settings import EnvironmentSettings

RUNBOOK = "docs/operations.md"


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """One alarm on a metric that reaches its threshold; ``runbook`` is the anchor's end where several share one."""

    name: str
    what: str
    namespace: str
    metric: str
    dimensions: dict[str, str] = field(hash=False)
    statistic: str = "Sum"
    period_minutes: int = 5
    threshold: float = 1
    runbook: str = ""

    @property
    def anchor(self) -> str:
        """The anchor of its section."""
        return f"alarm-{self.runbook or self.name}"


class Alarms(Construct):
    """Alarms `<prefix>-<name>`; silence is no alarm."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        specs: Sequence[AlarmSpec],
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.by_name = {spec.name: self._alarm(settings, spec, topic) for spec in specs}

    def _alarm(self, settings: EnvironmentSettings, spec: AlarmSpec, topic: sns.ITopic) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in spec.name.split("-")),
            alarm_name=f"{settings.prefix}-{spec.name}",
            alarm_description=f"{spec.what}. What to do: {RUNBOOK}#{spec.anchor}",
            metric=cloudwatch.Metric(
                namespace=spec.namespace,
                metric_name=spec.metric,
                dimensions_map=spec.dimensions,
                statistic=spec.statistic,
                period=cdk.Duration.minutes(spec.period_minutes),
            ),
            threshold=spec.threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
        return alarm
