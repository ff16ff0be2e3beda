"""A bucket as this project wants every bucket: private, TLS only, versioned, encrypted, logged."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.settings import EnvironmentSettings

_ABORT_UPLOAD_DAYS = 7
_ERASE_DAYS = 1  # the least that S3 takes
# Not on a first creation that fails: what it leaves behind would stand in the way of the next try.
_KEEP = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


class SecureBucket(Construct):
    """`<prefix>-<purpose>-<account>-<region>`; without `access_logs` it is the log bucket itself.

    `expire_after` maps a key prefix to the days after which its objects expire; "" means all of them. What expires, or
    is deleted or overwritten, can be restored for noncurrent_expiry_days; below the prefixes of `erase_after`, which
    maps likewise, for a day only. A bucket that `announces_objects` sends its events to EventBridge.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        purpose: str,
        expire_after: Mapping[str, int],
        erase_after: Mapping[str, int] | None = None,
        access_logs: s3.IBucket | None = None,
        announces_objects: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        retain = settings.retain_on_destroy
        # Others name the bucket by this text, not by an export that would tie the stacks together.
        self.name = settings.bucket_name(purpose, account=cdk.Stack.of(self).account)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=self.name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{purpose}/" if access_logs else None,
            removal_policy=_KEEP if retain else cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=not retain,
            lifecycle_rules=_housekeeping(settings) + _expiry(expire_after) + _erasure(erase_after or {}),
        )
        if announces_objects:
            self._announce_objects()
        if retain and self.bucket.policy:
            # A bucket that stays behind has to go on refusing plain HTTP.
            self.bucket.policy.apply_removal_policy(_KEEP)

    def _announce_objects(self) -> None:
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        # CloudFormation's own property; the CDK's way brings a function along.
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )


def _housekeeping(settings: EnvironmentSettings) -> list[s3.LifecycleRule]:
    return [
        s3.LifecycleRule(
            id="housekeeping",
            abort_incomplete_multipart_upload_after=cdk.Duration.days(_ABORT_UPLOAD_DAYS),
            noncurrent_version_expiration=cdk.Duration.days(settings.noncurrent_expiry_days),
            # Of all objects: a rule that expires objects by their age may not say it.
            expired_object_delete_marker=True,
        )
    ]


def _expiry(expire_after: Mapping[str, int]) -> list[s3.LifecycleRule]:
    return [
        s3.LifecycleRule(
            id=f"expire-{prefix.strip('/') or 'all'}", prefix=prefix or None, expiration=cdk.Duration.days(days)
        )
        for prefix, days in expire_after.items()
    ]


def _erasure(erase_after: Mapping[str, int]) -> list[s3.LifecycleRule]:
    """Expiry alone only hides an object behind a delete marker; of overlapping rules the shorter time counts.

    "How Amazon S3 handles conflicts in lifecycle configurations" in the S3 user guide.
    """
    return [
        s3.LifecycleRule(
            id=f"erase-{prefix.strip('/')}",
            prefix=prefix,
            expiration=cdk.Duration.days(days),
            noncurrent_version_expiration=cdk.Duration.days(_ERASE_DAYS),
        )
        for prefix, days in erase_after.items()
    ]
