"""A small Python Lambda function with its own log group and a role that can do nothing but log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.environments import ROOT
from infra.settings import EnvironmentSettings


class PythonFunction(Construct):
    """functions/<folder>/handler.py, named `<prefix>-<name>`; give `function.role` what the handler needs.

    The folder is a package in its zip, so that its modules find each other by relative imports.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        folder: str,
        name: str,
        description: str,
        timeout: cdk.Duration,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[lambda_.ILayerVersion] = (),
        memory_mb: int = 256,
        traced: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        function_name = f"{settings.prefix}-{name}"
        log_group = self._build_log_group(settings, function_name)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Execution role of {function_name}",
        )
        log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=description,
            code=lambda_.Code.from_asset(
                str(ROOT / "functions"),
                exclude=["*", f"!{folder}", "**/__pycache__", "**/*.pyc"],
                ignore_mode=cdk.IgnoreMode.DOCKER,
            ),
            handler=f"{folder}.handler.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mb,
            timeout=timeout,
            role=self.role,
            log_group=log_group,
            environment=environment,
            layers=list(layers),
            tracing=lambda_.Tracing.ACTIVE if traced else lambda_.Tracing.DISABLED,
        )

    def _build_log_group(self, settings: EnvironmentSettings, function_name: str) -> logs.LogGroup:
        group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{function_name}",
            # Logs outlive nothing they describe, and a kept group would stop the next deploy by its name.
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        resource = group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        resource.retention_in_days = settings.log_retention_days
        return group
