"""All that the stacks of one environment depend on, and what must hold between the sections."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import Self

from infra.settings.classification import ClassificationSettings
from infra.settings.monitoring import MonitoringSettings
from infra.settings.serving import ServingSettings
from pipeline_def.settings import PipelineSettings

# The values that CloudWatch Logs takes: PutRetentionPolicy, parameter retentionInDays.
LogRetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]  # fmt: skip
TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/=+@-]{1,128}$")]
TagValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/=+@-]{0,256}$")]

_BUCKET_NAME_LIMIT: Final = 63
_LONGEST_BUCKET_PURPOSE: Final = "artifacts"
_ACCOUNT_DIGITS: Final = 12
_HOURS_OF_A_DAY: Final = 24
_OWN_TAGS: Final = frozenset({"project", "environment"})


class EnvironmentSettings(BaseModel):
    """All that the stacks of one environment depend on, so that equal settings give equal templates."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    environment: str = Field(
        pattern=r"^[a-z][a-z0-9]{1,11}$", description="Name of the environment; it is the name of its file"
    )
    project: str = Field(
        "imgpipe",
        pattern=r"^[a-z][a-z0-9-]{0,19}[a-z0-9]$",
        description="First part of every name: stacks, buckets, pipeline, model package group",
    )
    account: str | None = Field(
        None,
        pattern=r"^[0-9]{12}$",
        description="AWS account that the environment is bound to, 12 digits in quotes; absent: the caller's",
    )
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="AWS region of everything in the environment"
    )
    permissions_boundary: str | None = Field(
        None,
        pattern=r"^(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.{1,512}|[A-Za-z0-9+=,.@_-]{1,128})$",
        description="ARN or name of an IAM policy that bounds every role of the stacks",
    )
    retain_on_destroy: bool = Field(
        description="true: buckets, model versions, results and review queues stay when the stacks go, and the stacks "
        "are protected from deletion; false: all of it is deleted with them",
    )
    execution_expiry_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Age at which the outputs of an execution expire, and at the latest the monitor's results; "
        "registered models never do",
    )
    noncurrent_expiry_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="How long an overwritten or deleted object can be restored; what shows users' images: 1 day",
    )
    log_retention_days: LogRetentionDays = Field(90, description="Age at which function logs and bucket access logs go")
    max_parallel_steps: int = Field(4, ge=1, le=50, description="Steps of one execution that may run at the same time")
    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, max_length=40, description="Tags of every resource, besides project and environment"
    )
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings, description="The pipeline itself")
    serving: ServingSettings = Field(default_factory=ServingSettings, description="The endpoint")
    classification: ClassificationSettings = Field(
        default_factory=ClassificationSettings, description="The workflow that classifies images in S3"
    )
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings, description="The endpoint's monitor")

    @property
    def prefix(self) -> str:
        """`<project>-<environment>`, the start of every name."""
        return f"{self.project}-{self.environment}"

    @property
    def monitor_expiry_days(self) -> int:
        """Age at which the monitor's results expire: their pages show captured images, and go when those go."""
        return min(self.execution_expiry_days, self.serving.capture_expiry_days)

    def state_machine_name(self, purpose: str) -> str:
        """Name of a state machine: deploy, classify, ..."""
        return f"{self.prefix}-{purpose}"

    @property
    def endpoint_name(self) -> str:
        """Name of the endpoint; an instance endpoint cannot become a serverless one, so they have different names."""
        return f"{self.prefix}-serverless" if self.serving.kind == "serverless" else self.prefix

    def bucket_name(self, purpose: str, *, account: str) -> str:
        """Name of a bucket; the account and region make it unique, so that no random part is needed."""
        return f"{self.prefix}-{purpose}-{account}-{self.region}"

    def pipeline_name(self, pipeline: str) -> str:
        """Name of a pipeline; `pipeline` is one of pipeline_def's PIPELINES."""
        return f"{self.prefix}-{pipeline}"

    @model_validator(mode="after")
    def _check_bucket_names_fit(self) -> Self:
        longest = len(self.bucket_name(_LONGEST_BUCKET_PURPOSE, account="0" * _ACCOUNT_DIGITS))
        if longest > _BUCKET_NAME_LIMIT:
            raise ValueError(
                f"project {self.project} is {longest - _BUCKET_NAME_LIMIT} characters too long for environment "
                f"{self.environment} in {self.region}: bucket names hold all three in {_BUCKET_NAME_LIMIT} characters"
            )
        return self

    @model_validator(mode="after")
    def _check_boundary_is_in_the_account(self) -> Self:
        parts = (self.permissions_boundary or "").split(":")
        if self.account and len(parts) > 1 and parts[4] not in (self.account, "aws"):
            raise ValueError(f"permissions_boundary is a policy of account {parts[4]}, not of account {self.account}")
        return self

    @model_validator(mode="after")
    def _check_cached_outputs_exist(self) -> Self:
        if self.pipeline.cache_days >= self.execution_expiry_days:
            raise ValueError(
                f"pipeline.cache_days {self.pipeline.cache_days} must be below execution_expiry_days "
                f"{self.execution_expiry_days}: a reused result's files would be gone"
            )
        return self

    @model_validator(mode="after")
    def _check_captures_are_compared(self) -> Self:
        """A capture is read when its window has ended, and the run that reads it may be the next one."""
        hours, days = self.monitoring.every_hours, self.serving.capture_expiry_days
        needed = -(-hours // _HOURS_OF_A_DAY) + 1
        if self.serving.capture_percent and days < needed:
            raise ValueError(
                f"serving.capture_expiry_days {days} must be {needed} or more with monitoring.every_hours {hours}: "
                "captures would be gone before they are compared; keep them longer, or compare more often"
            )
        return self

    @model_validator(mode="after")
    def _check_labels_find_their_answers(self) -> Self:
        days, kept = self.monitoring.label_days, self.monitor_expiry_days
        if self.serving.capture_percent and days > kept:
            raise ValueError(
                f"monitoring.label_days {days} must be {kept} or less: the answers that late labels belong to expire "
                "with the smaller of execution_expiry_days and serving.capture_expiry_days; lower it, or raise those"
            )
        return self

    @model_validator(mode="after")
    def _check_drift_can_be_seen(self) -> Self:
        if self.monitoring.retrain_on_drift and not self.serving.capture_percent:
            raise ValueError(
                "monitoring.retrain_on_drift true needs captured requests: set serving.capture_percent to 1 or more, "
                "which takes serving.kind realtime, or retrain_on_drift to false"
            )
        return self

    @model_validator(mode="after")
    def _check_tags(self) -> Self:
        taken = sorted(key for key in self.tags if key in _OWN_TAGS or key.lower().startswith("aws:"))
        if taken:
            raise ValueError(f"tags: {', '.join(taken)} cannot be set: project, environment and aws:* are taken")
        return self
