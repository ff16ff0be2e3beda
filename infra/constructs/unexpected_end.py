"""A rule for executions that end without anybody having been told."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_events as events
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.settings import EnvironmentSettings


def unexpected_end(
    scope: Construct,
    construct_id: str,
    *,
    settings: EnvironmentSettings,
    purpose: str,
    machines: Sequence[stepfunctions.IStateMachine],
    told: str,
) -> events.Rule:
    """Rule `<prefix>-<purpose>-unexpected`, without a target: time-outs, stops, and errors that no state caught.

    `told` is the error with which a machine fails once it has told of a failure itself. A time-out and a stop may have
    an `error` that is null, which a template cannot name, so that nothing is asked of theirs. Children of a map are
    executions of another ARN, so that stopping a map does not tell of each.
    """
    return events.Rule(
        scope,
        construct_id,
        rule_name=f"{settings.prefix}-{purpose}-unexpected",
        description=f"{settings.state_machine_name(purpose)} ended in a way that it could not tell of",
        event_pattern=events.EventPattern(
            source=["aws.states"],
            detail_type=["Step Functions Execution Status Change"],
            detail={
                "stateMachineArn": [machine.state_machine_arn for machine in machines],
                "$or": [
                    {"status": ["TIMED_OUT", "ABORTED"]},
                    {"status": ["FAILED"], "error": [{"exists": False}, {"anything-but": [told]}]},
                ],
            },
        ),
    )
