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


def listing(*prefixes: str, without_prefix: bool = False) -> dict[str, Any]:
    """Limits ListBucket to prefixes.

    `without_prefix` is for who needs it for requests that have none: a service's check that the bucket exists
    (HeadBucket), and S3's own before it says that an object is missing. Such a principal can list all keys.
    """
    patterns = [pattern for prefix in prefixes for pattern in (prefix, f"{prefix}/*")]
    return {"StringLikeIfExists" if without_prefix else "StringLike": {"s3:prefix": patterns}}
