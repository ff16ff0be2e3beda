"""The dataset stack: where images come in, where executions and models lie, and who accessed them."""

from __future__ import annotations

from constructs import Construct

from infra.constructs.secure_bucket import SecureBucket
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack


class DatasetStack(EnvironmentStack):
    """Data, artifact and access-log buckets."""

    def __init__(self, scope: Construct, stack_id: str, *, settings: EnvironmentSettings) -> None:
        super().__init__(
            scope, stack_id, settings=settings, description=f"{settings.prefix}: buckets for images and artifacts"
        )
        logs = SecureBucket(
            self, "AccessLogs", settings=settings, purpose="logs", expire_after={"": settings.log_retention_days}
        ).bucket
        self.data_bucket = SecureBucket(
            self,
            "Data",
            settings=settings,
            purpose="data",
            access_logs=logs,
            expire_after={},
            announces_objects=settings.classification.inbox_prefix is not None,
        )
        # models/ holds what registered versions point at, so it has no rule.
        self.artifact_bucket = SecureBucket(
            self,
            "Artifacts",
            settings=settings,
            purpose="artifacts",
            access_logs=logs,
            expire_after={"executions/": settings.execution_expiry_days},
            # They hold images of users, or show them.
            erase_after={
                "classify/": settings.classification.payload_expiry_days,
                "capture/": settings.serving.capture_expiry_days,
                "monitor/": settings.monitor_expiry_days,
            },
        )
