"""The state machine that deploys on approval, the rule that starts it, and the one that tells of its end."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.state_machine import DefinedMachine
from infra.constructs.unexpected_end import unexpected_end
from infra.nag import acknowledge
from infra.settings import EnvironmentSettings
from infra.workflows.deploy import FAILURE

_RETRIES = 185
_ANSWERED_WITHIN = cdk.Duration.hours(24)


class DeploymentMachine(Construct):
    """`<prefix>-deploy`, started by every change of a version's approval in the group `<prefix>`, and by no other.

    `rule` is what starts it: make it depend on what must still be there when nothing starts the machine any more.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        definition: dict[str, Any],
        role: iam.Role,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        # "Default" is left out of logical ids: https://docs.aws.amazon.com/cdk/v2/guide/identifiers.html
        self.machine = DefinedMachine(
            self, "Default", settings=settings, purpose="deploy", definition=definition, role=role
        ).machine
        self._undelivered = self._build_undelivered(settings, topic)
        self.rule = self._build_rule(settings)
        self._build_failure_rule(settings, topic)

    def _build_undelivered(self, settings: EnvironmentSettings, topic: sns.ITopic) -> sqs.Queue:
        """Keeps events that EventBridge could not deliver, and says that there are some."""
        queue = sqs.Queue(
            self,
            "Failures",
            queue_name=f"{settings.prefix}-deploy-undelivered",
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            retention_period=cdk.Duration.days(14),
        )
        acknowledge(
            queue,
            "AwsSolutions-SQS3",
            reason="It is the dead-letter queue itself, of EventBridge's targets, which the rule does not look at.",
        )
        alarm = cloudwatch.Alarm(
            self,
            "UndeliveredAlarm",
            alarm_name=f"{settings.prefix}-deploy-undelivered",
            alarm_description="An approval did not reach the deployment machine. What to do: "
            "docs/operations.md#alarm-deploy-undelivered",
            metric=queue.metric_approximate_number_of_messages_visible(period=cdk.Duration.minutes(5)),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
        return queue

    def _build_rule(self, settings: EnvironmentSettings) -> events.Rule:
        return events.Rule(
            self,
            "Approval",
            rule_name=f"{settings.prefix}-approval",
            description=f"Approval of a version of {settings.prefix} was given or taken back",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Package State Change"],
                detail={
                    "ModelPackageGroupName": [settings.prefix],
                    "ModelApprovalStatus": ["Approved", "Rejected", "PendingManualApproval"],
                    # An edit of an old version's metadata tells of its approval, too, and would deploy it. A
                    # registration names no fields.
                    "UpdatedModelPackageFields": [{"exists": False}, "ModelApprovalStatus"],
                },
            ),
            targets=[
                targets.SfnStateMachine(
                    self.machine,
                    dead_letter_queue=self._undelivered,
                    retry_attempts=_RETRIES,
                    max_event_age=_ANSWERED_WITHIN,
                )
            ],
        )

    def _build_failure_rule(self, settings: EnvironmentSettings, topic: sns.ITopic) -> None:
        """The machine tells of failures itself, but not of its time-out, its stop, or an error that nothing catches."""
        rule = unexpected_end(
            self, "Unexpected", settings=settings, purpose="deploy", machines=[self.machine], told=FAILURE
        )
        rule.add_target(
            targets.SnsTopic(
                topic,
                dead_letter_queue=self._undelivered,
                message=events.RuleTargetInput.from_text(
                    f"A deployment to endpoint {settings.endpoint_name} ended as "
                    f"{events.EventField.from_path('$.detail.status')}: "
                    f"{events.EventField.from_path('$.detail.cause')} See docs/operations.md, section Deployments. "
                    f"Execution: {events.EventField.from_path('$.detail.executionArn')}"
                ),
            )
        )
