"""The role of the pipeline and of its jobs: each statement one need, on the narrowest resource it works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.model_group import ModelGroup
from infra.nag import acknowledge_wildcard

_JOB_KINDS = ("processing-job", "training-job")
_JOB_ACTIONS = tuple(
    f"sagemaker:{verb}{kind}Job" for kind in ("Processing", "Training") for verb in ("Create", "Describe", "Stop")
)
_LOG_GROUPS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")
_ARTIFACT_PREFIXES = ("executions", "models")


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What the role may reach: buckets by name, `data_prefix` without a slash at its end."""

    data_bucket: str
    data_prefix: str
    artifact_bucket: str
    repository_arns: Sequence[str]
    model_group: ModelGroup
    resolve_function: lambda_.IFunction


class ExecutionRole(Construct):
    """Least privilege for the pipeline.

    Sources: "IAM Access Management" of SageMaker Pipelines (create and describe per job type, PassRole, S3 for
    JsonGet), "How to use SageMaker execution roles" (what CreateProcessingJob and CreateTrainingJob need), and the
    service authorization reference (resource types, AddTags as the dependent action of each create).
    """

    def __init__(self, scope: Construct, construct_id: str, *, grants: Grants) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
            description="Runs the training pipeline and its jobs",
        )
        self._grants = grants
        for statement in (
            *self._storage(),
            *self._images(),
            *self._monitoring(),
            *self._jobs(),
            *self._registry(),
            _allow("InvokeResolve", ["lambda:InvokeFunction"], [grants.resolve_function.function_arn]),
        ):
            self.role.add_to_policy(statement)

    def _storage(self) -> list[iam.PolicyStatement]:
        data, artifacts = self._bucket_arn(self._grants.data_bucket), self._bucket_arn(self._grants.artifact_bucket)
        images = f"{data}/{self._grants.data_prefix}/*"
        outputs = [f"{artifacts}/{prefix}/*" for prefix in _ARTIFACT_PREFIXES]
        self._explain("Reads the images of any data set under this prefix; their names are the user's.", images)
        self._explain("Outputs lie under the id of their execution, which the service makes up.", *outputs)
        return [
            _allow("ReadImages", ["s3:GetObject"], [images]),
            _allow("ListImages", ["s3:ListBucket"], [data], _listing(self._grants.data_prefix)),
            _allow("ReadAndWriteArtifacts", ["s3:GetObject", "s3:PutObject"], outputs),
            _allow("ListArtifacts", ["s3:ListBucket"], [artifacts], _listing(*_ARTIFACT_PREFIXES)),
        ]

    def _images(self) -> list[iam.PolicyStatement]:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        return [
            _allow("PullImages", pull, list(self._grants.repository_arns)),
            _allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
        ]

    def _monitoring(self) -> list[iam.PolicyStatement]:
        self._explain(
            "ecr:GetAuthorizationToken and cloudwatch:PutMetricData have no resource type: the pull statement limits "
            "the first to the images in use, a condition on the namespace the second.",
            "*",
        )
        groups = [self._arn("logs", "log-group", name, cdk.ArnFormat.COLON_RESOURCE_NAME) for name in _LOG_GROUPS]
        streams = [f"{group}:*" for group in groups]
        self._explain("Streams are named after their job, and jobs by the service.", *streams)
        logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        namespaces = {"StringEquals": {"cloudwatch:namespace": list(_LOG_GROUPS)}}
        return [
            _allow("WriteJobLogs", logs, [*groups, *streams]),
            _allow("PublishJobMetrics", ["cloudwatch:PutMetricData"], ["*"], namespaces),
        ]

    def _jobs(self) -> list[iam.PolicyStatement]:
        jobs = [self._arn("sagemaker", kind, "pipelines-*") for kind in _JOB_KINDS]
        self._explain("The service names a pipeline's jobs pipelines-<execution>-<step>-<random>.", *jobs)
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        return [
            _allow("RunJobs", [*_JOB_ACTIONS, "sagemaker:AddTags"], jobs),
            _allow("PassItselfToJobs", ["iam:PassRole"], [self.role.role_arn], to_sagemaker),
        ]

    def _registry(self) -> list[iam.PolicyStatement]:
        group, versions = self._grants.model_group.group_arn(), self._grants.model_group.versions_arn()
        self._explain("Registers versions of this one group; the service numbers them.", versions)
        create = ["sagemaker:CreateModelPackage", "sagemaker:AddTags"]
        return [
            _allow("RegisterModels", create, [group, versions]),
            _allow("DescribeModels", ["sagemaker:DescribeModelPackage"], [versions]),
            _allow("DescribeModelGroup", ["sagemaker:DescribeModelPackageGroup"], [group]),
        ]

    def _explain(self, reason: str, *resources: str) -> None:
        for resource in resources:
            acknowledge_wildcard(self.role, resource, reason=reason)

    def _bucket_arn(self, name: str) -> str:
        return f"arn:{cdk.Stack.of(self).partition}:s3:::{name}"

    def _arn(
        self, service: str, resource: str, name: str, form: cdk.ArnFormat = cdk.ArnFormat.SLASH_RESOURCE_NAME
    ) -> str:
        return cdk.Stack.of(self).format_arn(service=service, resource=resource, resource_name=name, arn_format=form)


def _allow(
    sid: str, actions: list[str], resources: list[str], conditions: dict[str, Any] | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions)


def _listing(*prefixes: str) -> dict[str, Any]:
    """Limits ListBucket to prefixes; IfExists, because a check that the bucket exists (HeadBucket) has none."""
    patterns = [pattern for prefix in prefixes for pattern in (prefix, f"{prefix}/*")]
    return {"StringLikeIfExists": {"s3:prefix": patterns}}
