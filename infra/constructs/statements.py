"""Short forms of policy statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_iam as iam


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], conditions: dict[str, Any] | None = None
) -> iam.PolicyStatement:
    """Allows `actions` on `resources`; `sid` names the need."""
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)


def listing(*prefixes: str) -> dict[str, Any]:
    """Limits ListBucket to prefixes; IfExists, because a check that the bucket exists (HeadBucket) has none."""
    patterns = [pattern for prefix in prefixes for pattern in (prefix, f"{prefix}/*")]
    return {"StringLikeIfExists": {"s3:prefix": patterns}}
