"""The serving stack: the endpoint of the newest approved model, and what deploys and guards it."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.container_images import image_asset
from infra.constructs.deployment_machine import DeploymentMachine
from infra.constructs.deployment_role import DeploymentRole
from infra.constructs.endpoint_alarms import EndpointAlarms
from infra.constructs.endpoint_lifecycle import EndpointLifecycle
from infra.constructs.endpoint_role import EndpointRole
from infra.constructs.idle_shutdown import IdleShutdown
from infra.constructs.notification_topic import NotificationTopic
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack
from infra.workflows.deploy import DeployNames, deploy_machine


class ServingStack(EnvironmentStack):
    """Roles, alarms, topic and the state machine; the endpoint itself is the machine's, once a version is approved."""

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
            description=f"{settings.prefix}: the endpoint of the newest approved model, and what deploys and guards it",
        )
        del data_bucket  # nothing that serves sees the training images
        self._settings = settings
        self.topic = NotificationTopic(self, "Notifications", settings=settings).topic
        self.alarms = EndpointAlarms(self, "Alarms", settings=settings, topic=self.topic)
        log_group = self._build_log_group()
        endpoint_role = EndpointRole(
            self,
            "Hosting",
            settings=settings,
            artifact_bucket=artifact_bucket,
            repository_arn=image_asset(self, "ServeImage", processing, image="serve").repository.repository_arn,
            log_group_arn=log_group.log_group_arn,
            alarm_arns=self.alarms.arns,
        ).role
        deployment = self._build_deployment(artifact_bucket, endpoint_role)
        self.machine = deployment.machine
        lifecycle = EndpointLifecycle(self, "Lifecycle", settings=settings, machine=self.machine, topic=self.topic)
        # A deletion goes the other way round: the rule first, so that nothing starts any more, then the endpoint, and
        # only then the role and the log group that it uses.
        deployment.rule.node.add_dependency(lifecycle.resource)
        lifecycle.resource.node.add_dependency(endpoint_role, log_group)
        if settings.serving.idle_hours:
            IdleShutdown(self, "Idle", settings=settings, topic=self.topic, idle_hours=settings.serving.idle_hours)
        self._build_outputs()

    def _build_deployment(self, artifact_bucket: str, endpoint_role: iam.Role) -> DeploymentMachine:
        settings = self._settings
        role = DeploymentRole(
            self,
            "Deployment",
            settings=settings,
            artifact_bucket=artifact_bucket,
            endpoint_role=endpoint_role,
            topic=self.topic,
            alarm_arns=self.alarms.arns,
        ).role
        names = DeployNames(
            partition=self.partition,
            model_package_group=settings.prefix,
            endpoint_role_arn=endpoint_role.role_arn,
            artifact_bucket=artifact_bucket,
            topic_arn=self.topic.topic_arn,
            error_alarm=self.alarms.errors.alarm_name,
            latency_alarm=self.alarms.latency.alarm_name,
            smoke_alarm=self.alarms.smoke.alarm_name,
        )
        return DeploymentMachine(
            self,
            "Deploy",
            settings=settings,
            definition=deploy_machine(settings, names),
            role=role,
            topic=self.topic,
        )

    def _build_log_group(self) -> logs.LogGroup:
        """The containers' logs, in the group that the service would make without an end to it."""
        group = logs.LogGroup(
            self,
            "EndpointLogs",
            log_group_name=f"/aws/sagemaker/Endpoints/{self._settings.endpoint_name}",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        resource = group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        resource.retention_in_days = self._settings.log_retention_days
        return group

    def _build_outputs(self) -> None:
        cdk.CfnOutput(self, "EndpointName", value=self._settings.endpoint_name)
        cdk.CfnOutput(self, "DeployStateMachineArn", value=self.machine.state_machine_arn)
        cdk.CfnOutput(self, "NotificationTopicArn", value=self.topic.topic_arn)
