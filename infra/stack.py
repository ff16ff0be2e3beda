"""What every stack of an environment shares: name, place, boundary, protection."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.settings import EnvironmentSettings


class EnvironmentStack(cdk.Stack):
    """A stack whose id is its name."""

    def __init__(self, scope: Construct, stack_id: str, *, settings: EnvironmentSettings, description: str) -> None:
        super().__init__(
            scope,
            stack_id,
            description=description,
            env=cdk.Environment(account=settings.account, region=settings.region),
            permissions_boundary=_boundary(settings.permissions_boundary),
            termination_protection=settings.retain_on_destroy,
        )


def _boundary(policy: str | None) -> cdk.PermissionsBoundary | None:
    if policy is None:
        return None
    if policy.startswith("arn:"):
        return cdk.PermissionsBoundary.from_arn(policy)
    return cdk.PermissionsBoundary.from_name(policy)
