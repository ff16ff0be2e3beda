"""The monitoring stack: the monitor of the endpoint, dashboard and alarms."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.alarms import Alarms
from infra.constructs.container_images import image_asset
from infra.constructs.monitor_functions import SelectWindowFunction, StartRetrainFunction
from infra.constructs.monitor_job_role import MonitorJobRole
from infra.constructs.monitor_machine import MonitorMachine
from infra.constructs.monitoring_alarms import alarm_specs
from infra.dashboard import dashboard_body
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack
from infra.workflows.monitor import Targets

# State machines of this and the other stacks, by their purposes.
_MACHINES = ("deploy", "classify", "classify-prefix", "monitor")


class MonitoringStack(EnvironmentStack):
    """Watches the endpoint, and starts `retrain` on drift where the settings say so."""

    def __init__(
        self,
        scope: Construct,
        stack_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        artifact_bucket: str,
        processing: Path,
    ) -> None:
        super().__init__(
            scope,
            stack_id,
            settings=settings,
            description=f"{settings.prefix}: the monitor of the endpoint, dashboard and alarms",
        )
        self._settings = settings
        self._topic = sns.Topic.from_topic_arn(
            self, "Topic", self.format_arn(service="sns", resource=f"{settings.prefix}-notifications")
        )
        machines = {purpose: self._machine_arn(purpose) for purpose in _MACHINES}
        monitor = self._build_monitor(artifact_bucket, processing)
        alarms = Alarms(
            self,
            "Alarms",
            settings=settings,
            specs=alarm_specs(settings, state_machine_arns=machines),
            topic=self._topic,
        )
        body = dashboard_body(
            settings,
            region=self.region,
            state_machine_arns=machines,
            alarm_arns=[alarm.alarm_arn for alarm in alarms.by_name.values()],
        )
        cloudwatch.CfnDashboard(
            self, "Dashboard", dashboard_name=settings.prefix, dashboard_body=self.to_json_string(body)
        )
        cdk.CfnOutput(self, "MonitorStateMachineArn", value=monitor.arn)
        cdk.CfnOutput(self, "DashboardName", value=settings.prefix)

    def _machine_arn(self, purpose: str) -> str:
        return self.format_arn(
            service="states",
            resource="stateMachine",
            resource_name=self._settings.state_machine_name(purpose),
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )

    def _build_monitor(self, artifact_bucket: str, processing: Path) -> MonitorMachine:
        settings = self._settings
        image = image_asset(self, "Imaging", processing, image="imaging")
        select = SelectWindowFunction(self, "Window", settings=settings, artifact_bucket=artifact_bucket)
        job_role = MonitorJobRole(
            self,
            "Job",
            settings=settings,
            artifact_bucket=artifact_bucket,
            repository_arn=image.repository.repository_arn,
        ).role
        retrain = self._build_retraining()
        return MonitorMachine(
            self,
            "Machine",
            settings=settings,
            targets=Targets(
                partition=self.partition,
                select_window_arn=select.function.function_arn,
                image_uri=image.image_uri,
                job_role_arn=job_role.role_arn,
                bucket=artifact_bucket,
                topic_arn=self._topic.topic_arn,
                start_retrain_arn=retrain.function_arn if retrain else None,
            ),
            functions=[select.function, *([retrain] if retrain else [])],
            job_role=job_role,
        )

    def _build_retraining(self) -> lambda_.IFunction | None:
        if not self._settings.monitoring.retrain_on_drift:
            return None
        return StartRetrainFunction(self, "Retrain", settings=self._settings, topic_arn=self._topic.topic_arn).function
