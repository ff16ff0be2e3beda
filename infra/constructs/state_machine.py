"""A state machine given as plain data, logged and traced, with a role that can do no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings


class DefinedMachine(Construct):
    """Standard state machine `<prefix>-<purpose>`; give `role` what its tasks need.

    Without a `role` it makes one; either gets what logging and tracing take.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        purpose: str,
        definition: Mapping[str, Any],
        role: iam.Role | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        name = settings.state_machine_name(purpose)
        self.arn = cdk.Stack.of(self).format_arn(
            service="states", resource="stateMachine", resource_name=name, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME
        )
        self.role = role or self._build_role(name, maps=_has_distributed_map(definition))
        self.machine = stepfunctions.StateMachine(
            self,
            "Machine",
            state_machine_name=name,
            # Not by the CDK's to_json_string, which leaves out what is null: `ResultPath: null` discards an answer.
            definition_body=stepfunctions.DefinitionBody.from_string(json.dumps(definition)),
            role=self.role,
            tracing_enabled=True,
            # Data may name images of users, or hold the sample image with every event; the log has none of it.
            logs=stepfunctions.LogOptions(
                destination=self._build_log_group(settings, name),
                level=stepfunctions.LogLevel.ALL,
                include_execution_data=False,
            ),
        )
        acknowledge_wildcard(
            self.role, "*", reason="Log deliveries, traces and metrics have no resource type that a policy could name."
        )

    def _build_role(self, name: str, *, maps: bool) -> iam.Role:
        # What a distributed map starts runs as `stateMachine:<name>/<label of the map>`.
        sources = [self.arn, f"{self.arn}/*"] if maps else [self.arn]
        return iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account},
                    "ArnLike": {"aws:SourceArn": sources},
                },
            ),
            description=f"Role of the state machine {name}",
        )

    def _build_log_group(self, settings: EnvironmentSettings, name: str) -> logs.LogGroup:
        group = logs.LogGroup(
            self,
            "Logs",
            # Under this prefix the resource policy that lets the service write does not grow with each group.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        resource = group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        resource.retention_in_days = settings.log_retention_days
        return group


def _has_distributed_map(definition: Any) -> bool:
    if isinstance(definition, Mapping):
        config = definition.get("ProcessorConfig")
        distributed = isinstance(config, Mapping) and config.get("Mode") == "DISTRIBUTED"
        return distributed or any(map(_has_distributed_map, definition.values()))
    return isinstance(definition, list) and any(map(_has_distributed_map, definition))
