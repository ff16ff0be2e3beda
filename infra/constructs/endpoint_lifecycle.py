"""Ties the endpoint, which a state machine makes, to the stack: it follows the settings and goes with the stack."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.constructs.scaling_alarms import allow_scaling_alarms
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings
from infra.workflows.deployment.context import endpoint_names
from infra.workflows.deployment.requests import deployment_hash


class EndpointLifecycle(Construct):
    """Custom resource over functions/remove_endpoint; nothing of an endpoint outlives its stack, in no environment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        machine: sfn.IStateMachine,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        remove = PythonFunction(
            self,
            "Remove",
            settings=settings,
            folder="remove_endpoint",
            name="remove-endpoint",
            description="Lets the endpoint follow the settings, and removes it when its stack is deleted",
            timeout=cdk.Duration.minutes(15),
            environment={"ENDPOINT_NAME": settings.endpoint_name, "TOPIC_ARN": topic.topic_arn},
        )
        remove.role.add_to_policy(allow("Notify", ["sns:Publish"], [topic.topic_arn]))
        for statement in (*self._hosting(remove.role), *self._machine(remove.role, machine)):
            remove.role.add_to_policy(statement)
        self.resource = cdk.CustomResource(
            self,
            "Endpoint",
            resource_type="Custom::Endpoint",
            service_token=remove.function.function_arn,
            service_timeout=cdk.Duration.minutes(16),
            properties={
                "EndpointName": settings.endpoint_name,
                "NamePrefix": f"{settings.prefix}-v",
                "StateMachineArn": machine.state_machine_arn,
                # Its change is an update, which the endpoint has to follow.
                "SettingsHash": deployment_hash(settings),
            },
        )
        self.resource.node.add_dependency(remove.role)

    def _hosting(self, role: iam.Role) -> list[iam.PolicyStatement]:
        stack, prefix = cdk.Stack.of(self), self._settings.prefix

        def arn(resource: str, name: str) -> str:
            return stack.format_arn(service="sagemaker", resource=resource, resource_name=name)

        # Of either kind: with a change of the kind the old one has to go.
        endpoints = [arn("endpoint", name) for name in endpoint_names(self._settings)]
        models, configurations = arn("model", f"{prefix}-v*"), arn("endpoint-config", f"{prefix}-v*")
        targets = stack.format_arn(service="application-autoscaling", resource="scalable-target", resource_name="*")
        for resource, reason in {
            models: "Models are named after their version and settings.",
            configurations: "Endpoint configurations are named after their version and settings.",
            targets: "Application Auto Scaling makes up the ids of its targets.",
            "*": "sagemaker:ListModels and sagemaker:ListEndpointConfigs have no resource type.",
        }.items():
            acknowledge_wildcard(role, resource, reason=reason)
        namespace = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
        return [
            allow("RemoveEndpoint", ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], endpoints),
            allow("RemoveModels", ["sagemaker:DeleteModel"], [models]),
            allow("RemoveConfigurations", ["sagemaker:DeleteEndpointConfig"], [configurations]),
            allow("FindWhatIsLeft", ["sagemaker:ListModels", "sagemaker:ListEndpointConfigs"], ["*"]),
            allow("StopScaling", ["application-autoscaling:DeregisterScalableTarget"], [targets], namespace),
            # Whatever the settings are now: what goes may have been scaled by earlier ones.
            allow_scaling_alarms(role, prefix, putting=False),
        ]

    def _machine(self, role: iam.Role, machine: sfn.IStateMachine) -> list[iam.PolicyStatement]:
        stack = cdk.Stack.of(self)
        executions = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self._settings.state_machine_name('deploy')}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        # ListExecutions is of machines and of map runs, and IAM asks for both.
        runs = stack.format_arn(
            service="states",
            resource="mapRun",
            resource_name=f"{self._settings.state_machine_name('deploy')}/*:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        # DescribeExecution is of express executions too, and IAM asks for both.
        express = stack.format_arn(
            service="states",
            resource="express",
            resource_name=f"{self._settings.state_machine_name('deploy')}:*:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        acknowledge_wildcard(role, express, reason="IAM asks for express executions too; the machine has none.")
        acknowledge_wildcard(role, executions, reason="EventBridge makes up the names of the machine's executions.")
        acknowledge_wildcard(role, runs, reason="IAM asks for map runs where executions are listed; there are none.")
        return [
            allow("FollowSettings", ["states:StartExecution"], [machine.state_machine_arn]),
            allow("FindDeployments", ["states:ListExecutions"], [machine.state_machine_arn, runs]),
            allow("FollowDeployments", ["states:DescribeExecution"], [executions, express]),
            allow("StopDeployments", ["states:StopExecution"], [executions]),
            allow("SeeWhetherTheStackGoes", ["cloudformation:DescribeStacks"], [stack.stack_id]),
        ]
