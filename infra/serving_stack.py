"""The serving stack: the endpoint of the newest approved model, and what deploys and guards it."""

from __future__ import annotations

from pathlib import Path

from constructs import Construct

from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack


class ServingStack(EnvironmentStack):
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
            description=f"{settings.prefix}: the endpoint of the newest approved model, and what deploys and guards it",
        )
