"""The role of the pipelines and of their jobs: each statement one need, on the narrowest resource it works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.job_names import NAMED_AFTER_TUNING, NAMED_BY_SERVICE, STEP_JOBS, TUNING_JOBS, sagemaker_arns
from infra.constructs.model_group import ModelGroup
from infra.constructs.statements import allow, listing
from infra.constructs.tracking import experiment_statements, mlflow_statements
from infra.nag import acknowledge_wildcard

# A model is no job, but named like one; each statement takes from what IAM allows a role to hold.
_JOB_KINDS = ("processing-job", "training-job", "transform-job", "model")
_JOB_ACTIONS = tuple(
    f"sagemaker:{verb}{kind}Job"
    for kind in ("Processing", "Training", "Transform")
    for verb in ("Create", "Describe", "Stop")
)
_MODEL_ACTIONS = ("sagemaker:CreateModel", "sagemaker:DescribeModel")
_TUNING_ACTIONS = (
    *(f"sagemaker:{verb}HyperParameterTuningJob" for verb in ("Create", "Describe", "Stop")),
    "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
)
_LOG_GROUPS = tuple(f"/aws/sagemaker/{kind}Jobs" for kind in ("Processing", "Training", "Transform"))
_ARTIFACT_PREFIXES = ("executions", "models")


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What the role may reach: buckets by name, prefixes without a slash at their ends.

    `data_prefixes` are those of the data bucket that jobs read, `pretrained_uri` a model.tar.gz that the settings
    name, `experiments` the names of the experiments that executions are trials of, none where there are none.
    """

    data_bucket: str
    data_prefixes: Sequence[str]
    artifact_bucket: str
    pretrained_uri: str | None
    repository_arns: Sequence[str]
    model_group: ModelGroup
    functions: Sequence[lambda_.IFunction]
    experiments: Sequence[str]
    tracking_server_arn: str | None


class ExecutionRole(Construct):
    """Least privilege for the pipelines.

    Sources: "IAM Access Management" of SageMaker Pipelines (create and describe per job type, PassRole, S3 for
    JsonGet), "How to use SageMaker execution roles" (what CreateProcessingJob, CreateTrainingJob, CreateModel and
    CreateHyperParameterTuningJob need), and the service authorization reference (resource types, AddTags as the
    dependent action of each create). Checkpoints and the profiler's output lie among an execution's outputs, and the
    profiler's rules run as jobs named after the training job, so neither needs a statement of its own.
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
            description="Runs the pipelines and their jobs",
        )
        self._grants = grants
        for statement in (
            *self._storage(),
            *self._images(),
            *self._monitoring(),
            *self._jobs(),
            *self._registry(),
            *self._tracking(),
            allow("InvokeFunctions", ["lambda:InvokeFunction"], [item.function_arn for item in grants.functions]),
        ):
            self.role.add_to_policy(statement)

    def _storage(self) -> list[iam.PolicyStatement]:
        data, artifacts = self._bucket_arn(self._grants.data_bucket), self._bucket_arn(self._grants.artifact_bucket)
        inputs = [f"{data}/{prefix}/*" for prefix in self._grants.data_prefixes]
        outputs = [f"{artifacts}/{prefix}/*" for prefix in _ARTIFACT_PREFIXES]
        self._explain("Reads any data set or base model under this prefix; their names are the user's.", *inputs)
        self._explain("Outputs lie under the id of their execution, which the service makes up.", *outputs)
        return [
            allow("ReadInputs", ["s3:GetObject"], inputs),
            allow("ListInputs", ["s3:ListBucket"], [data], listing(*self._grants.data_prefixes, without_prefix=True)),
            allow("ReadAndWriteArtifacts", ["s3:GetObject", "s3:PutObject"], outputs),
            allow("ListArtifacts", ["s3:ListBucket"], [artifacts], listing(*_ARTIFACT_PREFIXES, without_prefix=True)),
            *self._pretrained(),
        ]

    def _pretrained(self) -> list[iam.PolicyStatement]:
        """The weights that the settings name, in whichever bucket."""
        if self._grants.pretrained_uri is None:
            return []
        bucket, key = self._grants.pretrained_uri.removeprefix("s3://").split("/", maxsplit=1)
        arn = self._bucket_arn(bucket)
        return [
            allow("ReadPretrained", ["s3:GetObject"], [f"{arn}/{key}"]),
            allow("ListPretrained", ["s3:ListBucket"], [arn], {"StringLikeIfExists": {"s3:prefix": key}}),
        ]

    def _images(self) -> list[iam.PolicyStatement]:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        return [
            allow("PullImages", pull, list(self._grants.repository_arns)),
            allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
        ]

    def _monitoring(self) -> list[iam.PolicyStatement]:
        self._explain(
            "ecr:GetAuthorizationToken and cloudwatch:PutMetricData have no resource type: the pull statement limits "
            "the first to the images in use, a condition on the namespace the second.",
            "*",
        )
        stack = cdk.Stack.of(self)
        groups = [
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in _LOG_GROUPS
        ]
        streams = [f"{group}:*" for group in groups]
        self._explain("Streams are named after their job, and jobs by the service.", *streams)
        logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        namespaces = {"StringEquals": {"cloudwatch:namespace": list(_LOG_GROUPS)}}
        return [
            allow("WriteJobLogs", logs, [*groups, *streams]),
            allow("PublishJobMetrics", ["cloudwatch:PutMetricData"], ["*"], namespaces),
        ]

    def _jobs(self) -> list[iam.PolicyStatement]:
        jobs = [arn for kind in _JOB_KINDS for arn in sagemaker_arns(self, kind, STEP_JOBS)]
        self._explain(NAMED_BY_SERVICE, *jobs)
        tuning = sagemaker_arns(self, "hyper-parameter-tuning-job", *TUNING_JOBS)
        # The tags of a tuning job go to its training jobs too: Tags in CreateHyperParameterTuningJob.
        tuned = [arn for arn in sagemaker_arns(self, "training-job", *TUNING_JOBS) if arn not in jobs]
        self._explain(NAMED_AFTER_TUNING, *tuning, *tuned)
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        return [
            allow("RunJobs", [*_JOB_ACTIONS, *_MODEL_ACTIONS, "sagemaker:AddTags"], jobs),
            allow("TuneHyperparameters", [*_TUNING_ACTIONS, "sagemaker:AddTags"], tuning),
            allow("TagTunedTraining", ["sagemaker:AddTags"], tuned),
            allow("PassItselfToJobs", ["iam:PassRole"], [self.role.role_arn], to_sagemaker),
        ]

    def _registry(self) -> list[iam.PolicyStatement]:
        group, versions = self._grants.model_group.group_arn(), self._grants.model_group.versions_arn()
        self._explain("Registers versions of this one group; the service numbers them.", versions)
        create = ["sagemaker:CreateModelPackage", "sagemaker:AddTags"]
        return [
            allow("RegisterModels", create, [group, versions]),
            allow("DescribeModels", ["sagemaker:DescribeModelPackage"], [versions]),
            allow("DescribeModelGroup", ["sagemaker:DescribeModelPackageGroup"], [group]),
        ]

    def _tracking(self) -> list[iam.PolicyStatement]:
        return [
            *experiment_statements(self.role, self._grants.experiments),
            *mlflow_statements(self._grants.tracking_server_arn),
        ]

    def _explain(self, reason: str, *resources: str) -> None:
        for resource in resources:
            acknowledge_wildcard(self.role, resource, reason=reason)

    def _bucket_arn(self, name: str) -> str:
        return f"arn:{cdk.Stack.of(self).partition}:s3:::{name}"
