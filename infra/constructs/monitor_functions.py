"""The functions of the monitor: what a run reads, and what drift starts."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.constructs.statements import allow, listing
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings
from infra.workflows.monitor import job_name_prefix

RETRAIN = "retrain"


class SelectWindowFunction(Construct):
    """Lists the captures of a window, and writes the manifests of the job's inputs."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, artifact_bucket: str
    ) -> None:
        super().__init__(scope, construct_id)
        endpoint = settings.endpoint_name
        select = PythonFunction(
            self,
            "SelectWindow",
            settings=settings,
            folder="select_window",
            name="select-window",
            description="Chooses what a run of the monitor reads",
            # Hours of a busy endpoint hold thousands of files; a listing takes about 0.1 s per 1,000.
            timeout=cdk.Duration.minutes(5),
            environment={
                "ARTIFACT_BUCKET": artifact_bucket,
                "ENDPOINT_NAME": endpoint,
                "EVERY_HOURS": str(settings.monitoring.every_hours),
                "LABEL_DAYS": str(settings.monitoring.label_days),
                "VOLUME_SIZE_GB": str(settings.monitoring.volume_size_gb),
                "JOB_NAME_PREFIX": job_name_prefix(settings),
            },
        )
        bucket = f"arn:{cdk.Stack.of(self).partition}:s3:::{artifact_bucket}"
        manifests = f"{bucket}/monitor/{endpoint}/*/inputs/*"
        acknowledge_wildcard(select.role, manifests, reason="Manifests lie below the hour in which their window ends.")
        prefixes = (f"capture/{endpoint}", "ground-truth", f"monitor/{endpoint}", "models", f"serving/{endpoint}")
        for statement in (
            allow("ListFiles", ["s3:ListBucket"], [bucket], listing(*prefixes)),
            allow("ReadLiveVersion", ["s3:GetObject"], [f"{bucket}/serving/{endpoint}/live.json"]),
            allow("WriteManifests", ["s3:PutObject"], [manifests]),
        ):
            select.role.add_to_policy(statement)
        self.function = select.function


class StartRetrainFunction(Construct):
    """Starts the pipeline `retrain`, within its limits, and says on the topic whether it did."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, topic_arn: str) -> None:
        super().__init__(scope, construct_id)
        pipeline, monitoring = settings.pipeline_name(RETRAIN), settings.monitoring
        start = PythonFunction(
            self,
            "StartRetrain",
            settings=settings,
            folder="start_retrain",
            name="start-retrain",
            description="Starts retraining after drift, not too soon and not too often",
            timeout=cdk.Duration.minutes(1),
            environment={
                "PIPELINE_NAME": pipeline,
                "COOL_DOWN_DAYS": str(monitoring.retrain_cool_down_days),
                "MONTHLY_LIMIT": str(monitoring.retrain_monthly_limit),
                "TOPIC_ARN": topic_arn,
            },
        )
        arn = cdk.Stack.of(self).format_arn(service="sagemaker", resource="pipeline", resource_name=pipeline)
        actions = ["sagemaker:ListPipelineExecutions", "sagemaker:StartPipelineExecution"]
        for statement in (allow("Retrain", actions, [arn]), allow("Notify", ["sns:Publish"], [topic_arn])):
            start.role.add_to_policy(statement)
        self.role: iam.IRole = start.role
        self.function = start.function
