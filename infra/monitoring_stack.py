"""The monitoring stack: the monitor of the endpoint, dashboard and alarms."""

from __future__ import annotations

from pathlib import Path

from constructs import Construct

from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack


class MonitoringStack(EnvironmentStack):
    """Filled in next."""

    def __init__(
        self,
        scope: Construct,
        stack_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        artifact_bucket: str,
        processing: Path,
    ) -> None:
        super().__init__(
            scope,
            stack_id,
            settings=settings,
            description=f"{settings.prefix}: the monitor of the endpoint, dashboard and alarms",
        )
