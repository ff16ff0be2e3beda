"""The role of the monitor's processing job."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.statements import allow, listing
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings

_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"


class MonitorJobRole(Construct):
    """Reads captures, labels, registered packages and earlier results, and writes new ones; pulls one image."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        artifact_bucket: str,
        repository_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        stack, self._endpoint = cdk.Stack.of(self), settings.endpoint_name
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
            description=f"Runs the jobs that monitor {self._endpoint}",
        )
        for statement in (
            *self._files(f"arn:{stack.partition}:s3:::{artifact_bucket}"),
            *self._encryption(settings.serving.kms_key_arn),
            *self._image(repository_arn),
            *self._logs(stack),
        ):
            self.role.add_to_policy(statement)

    def _files(self, bucket: str) -> list[iam.PolicyStatement]:
        results = f"monitor/{self._endpoint}"
        prefixes = (f"capture/{self._endpoint}", "ground-truth", "models", results)
        read = [f"{bucket}/{prefix}/*" for prefix in prefixes]
        for resource in read:
            acknowledge_wildcard(
                self.role, resource, reason="Files are named by the service, by an execution, or by who labels."
            )
        return [
            allow("ReadInputs", ["s3:GetObject"], read),
            allow("ListInputs", ["s3:ListBucket"], [bucket], listing(*prefixes, without_prefix=True)),
            allow("WriteResults", ["s3:PutObject"], [f"{bucket}/{results}/*"]),
        ]

    def _encryption(self, key_arn: str | None) -> list[iam.PolicyStatement]:
        """The key that captured requests are encrypted with, if it is not S3's own."""
        return [] if key_arn is None else [allow("DecryptCaptures", ["kms:Decrypt"], [key_arn])]

    def _image(self, repository_arn: str) -> list[iam.PolicyStatement]:
        acknowledge_wildcard(
            self.role,
            "*",
            reason="ecr:GetAuthorizationToken has no resource type; the pull is limited to one repository.",
        )
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        return [
            allow("PullImage", pull, [repository_arn]),
            allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
        ]

    def _logs(self, stack: cdk.Stack) -> list[iam.PolicyStatement]:
        group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=_LOG_GROUP,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        acknowledge_wildcard(
            self.role, f"{group}:*", reason="Log streams are named after their job, and jobs by the state machine."
        )
        actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        return [allow("WriteJobLogs", actions, [group, f"{group}:*"])]
