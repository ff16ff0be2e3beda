"""The rule that classifies every new image below a prefix of the data bucket."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.settings import EnvironmentSettings


class Inbox(Construct):
    """Rule `<prefix>-inbox`: "Object Created" below `prefix` starts `machine`; what cannot start goes to `failures`.

    Also of files that are no images: the alternatives of a pattern for a key are joined by or, and it asks for the
    prefix. The machine skips them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        prefix: str,
        machine: stepfunctions.IStateMachine,
        failures: sqs.IQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.rule = events.Rule(
            self,
            "Rule",
            rule_name=f"{settings.prefix}-inbox",
            description=f"Classifies new images below {prefix}/",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [data_bucket]},
                    # A console's folder is an object without content.
                    "object": {"key": [{"prefix": f"{prefix}/"}], "size": [{"numeric": [">", 0]}]},
                },
            ),
            targets=[
                targets.SfnStateMachine(
                    machine, dead_letter_queue=failures, max_event_age=cdk.Duration.hours(24), retry_attempts=185
                )
            ],
        )
