"""The role of the endpoint's containers: image, model, logs, metrics, captured requests, and no more."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.statements import allow, listing
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings

_METRICS_NAMESPACE = "/aws/sagemaker/Endpoints"


class EndpointRole(Construct):
    """Least privilege for hosting: "CreateModel API: Execution Role Permissions" in the developer guide."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        artifact_bucket: str,
        repository_arn: str,
        log_group_arn: str,
        alarm_arns: list[str],
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self._settings = settings
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
            description=f"Serves endpoint {settings.endpoint_name}",
        )
        bucket = f"arn:{stack.partition}:s3:::{artifact_bucket}"
        for statement in (
            *self._storage(bucket),
            *self._images(repository_arn),
            *self._watching(log_group_arn),
            *self._rolling_back(alarm_arns),
            *self._encryption(),
            *self._network(),
        ):
            self.role.add_to_policy(statement)

    def _storage(self, bucket: str) -> list[iam.PolicyStatement]:
        models, captured = f"{bucket}/models/*", f"{bucket}/capture/{self._settings.endpoint_name}/*"
        self._explain("Registered models lie under the ids of their executions, which the service makes up.", models)
        statements = [
            allow("ReadModels", ["s3:GetObject"], [models]),
            allow("ListModels", ["s3:ListBucket"], [bucket], listing("models", without_prefix=True)),
        ]
        if self._settings.serving.capture_percent:
            self._explain("The service names captured files after their hour and a random id.", captured)
            statements.append(allow("CaptureRequests", ["s3:PutObject"], [captured]))
        return statements

    def _images(self, repository_arn: str) -> list[iam.PolicyStatement]:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        return [
            allow("PullImage", pull, [repository_arn]),
            allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
        ]

    def _watching(self, log_group_arn: str) -> list[iam.PolicyStatement]:
        self._explain(
            "ecr:GetAuthorizationToken, cloudwatch:PutMetricData and, for endpoints in a VPC, ec2:Describe* have no "
            "resource type: the pull statement limits the first to the image's repository, a condition the second.",
            "*",
        )
        logs = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        namespace = {"StringEquals": {"cloudwatch:namespace": _METRICS_NAMESPACE}}
        return [
            allow("WriteLogs", logs, [log_group_arn]),
            allow("PublishMetrics", ["cloudwatch:PutMetricData"], ["*"], namespace),
        ]

    def _rolling_back(self, alarm_arns: list[str]) -> list[iam.PolicyStatement]:
        """Watching the alarms that roll a deployment back; serverless endpoints have no such guardrails.

        "Auto-Rollback Configuration and Monitoring" asks it of "your IAM execution role", which may mean this one as
        well as that of who calls UpdateEndpoint.
        """
        if self._settings.serving.kind == "serverless":
            return []
        return [allow("WatchAlarms", ["cloudwatch:DescribeAlarms"], alarm_arns)]

    def _encryption(self) -> list[iam.PolicyStatement]:
        serving = self._settings.serving
        if not (serving.kms_key_arn and serving.capture_percent):
            return []
        return [allow("EncryptCaptures", ["kms:GenerateDataKey", "kms:Decrypt"], [serving.kms_key_arn])]

    def _network(self) -> list[iam.PolicyStatement]:
        """Network interfaces in the customer's subnets: "Give SageMaker hosted endpoints access to your VPC"."""
        serving = self._settings.serving
        if not serving.subnet_ids:
            return []
        stack = cdk.Stack.of(self)

        def arn(resource: str, name: str) -> str:
            return stack.format_arn(service="ec2", resource=resource, resource_name=name)

        interfaces = arn("network-interface", "*")
        self._explain(
            "The service makes the endpoint's network interfaces; their ids are not known before.", interfaces
        )
        places = [
            *(arn("subnet", item) for item in serving.subnet_ids),
            *(arn("security-group", item) for item in serving.security_group_ids),
        ]
        change = ["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"]
        see = ["NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups"]
        return [
            allow("AttachToSubnets", ["ec2:CreateNetworkInterface"], [interfaces, *places]),
            allow("KeepInterfaces", [*change, "ec2:DeleteNetworkInterfacePermission"], [interfaces]),
            allow("SeeNetwork", [f"ec2:Describe{item}" for item in see], ["*"]),
        ]

    def _explain(self, reason: str, *resources: str) -> None:
        for resource in resources:
            acknowledge_wildcard(self.role, resource, reason=reason)
