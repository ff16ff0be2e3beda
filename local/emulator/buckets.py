"""What moto's CloudFormation leaves out of a bucket: that it announces its objects to EventBridge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.s3.models import FakeBucket, s3_backends
from moto.utilities.utils import get_partition

from local.emulator.replaced import replaced


@contextmanager
def completed_buckets() -> Iterator[None]:
    """While open, a bucket of a template sends events where its NotificationConfiguration says so."""
    create = FakeBucket.create_from_cloudformation_json

    def create_completed(
        cls: Any, /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **options: Any
    ) -> Any:
        bucket = create(resource_name, cloudformation_json, account_id, region_name, **options)
        wanted = cloudformation_json.get("Properties", {}).get("NotificationConfiguration", {})
        if wanted.get("EventBridgeConfiguration", {}).get("EventBridgeEnabled"):
            backend = s3_backends[account_id][get_partition(region_name)]
            backend.put_bucket_notification_configuration(bucket.name, {"EventBridgeConfiguration": {}})
        return bucket

    with replaced(FakeBucket, create_from_cloudformation_json=classmethod(create_completed)):
        yield
