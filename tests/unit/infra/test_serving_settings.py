"""Settings of the endpoint: what is refused, and what the rest of the project derives from them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.settings import ServingSettings

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "serverless", "capture_percent": 1}, "capture_percent: a serverless endpoint has none"),
        ({"kind": "serverless", "subnet_ids": ("subnet-01234567",)}, "subnet_ids: a serverless endpoint has none"),
        ({"kind": "serverless", "network_isolation": True}, "network_isolation: a serverless endpoint has none"),
        ({"kind": "serverless", "max_payload_mb": 5.0}, "above 4"),
        ({"max_payload_mb": 6.5}, "above 6"),
        ({"instance_count": 3, "max_instance_count": 2}, "below instance_count"),
        ({"subnet_ids": ("subnet-01234567",)}, "go together"),
        (
            {"instance_count": 2, "max_instance_count": 2, "traffic_shift": "linear", "shift_percent": 9},
            "the least of a linear shift",
        ),
        (
            {
                "instance_count": 2,
                "max_instance_count": 2,
                "traffic_shift": "linear",
                "shift_percent": 10,
                "bake_minutes": 60,
            },
            "8 hours",
        ),
        ({"bake_minutes": 4}, "greater than or equal to 5"),
        ({"instance_type": "ml.c7g.large"}, "built for x86-64"),
        ({"instance_type": "ml.m6gd.large"}, "built for x86-64"),
        ({"instance_type": "ml.inf2.xlarge"}, "built for x86-64"),
        ({"kind": "serverless", "kms_key_arn": KEY}, "kms_key_arn: a serverless endpoint has none"),
        ({"kind": "serverless", "max_instance_count": 2}, "max_instance_count: a serverless endpoint has none"),
        ({"kind": "serverless", "traffic_shift": "linear"}, "traffic_shift: a serverless endpoint has none"),
    ],
)
def test_what_the_service_lacks_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        ServingSettings(**values)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("realtime", 6), ("serverless", 4)],
)
def test_payload_limit_by_kind(kind, limit):
    assert ServingSettings(kind=kind).payload_limit_mb == limit


@pytest.mark.parametrize("instance", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.m6i.large", "ml.c5d.large"])
def test_instances_that_run_the_image_are_accepted(instance):
    assert ServingSettings(instance_type=instance).instance_type == instance


@pytest.mark.parametrize(
    ("instance", "encrypted"),
    [("ml.c5.large", True), ("ml.m6i.large", True), ("ml.c5d.large", False), ("ml.g4dn.xlarge", False)],
)
def test_local_disks_take_no_key(instance, encrypted):
    settings = ServingSettings(instance_type=instance, kms_key_arn=KEY)
    assert settings.volume_key_arn == (KEY if encrypted else None)


def test_single_instance_and_serverless_have_no_shifting():
    assert ServingSettings(traffic_shift="canary").shifts == "all_at_once"
    assert ServingSettings(kind="serverless").shifts == "all_at_once"
    assert ServingSettings(instance_count=2, max_instance_count=2).shifts == "canary"
