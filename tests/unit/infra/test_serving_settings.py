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
        ({"bake_minutes": 2}, "greater than or equal to 3"),
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


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "serverless"},
        {"instance_type": "ml.c5.xlarge"},
        {"instance_count": 2, "max_instance_count": 2},
        {"capture_percent": 1},
        {"kms_key_arn": KEY},
        {"max_payload_mb": 1.0},
        {"network_isolation": False},
        {"subnet_ids": ("subnet-01234567",), "security_group_ids": ("sg-01234567",)},
    ],
)
def test_hash_follows_what_models_and_configurations_are_made_from(changes):
    plain = ServingSettings()
    assert len(plain.settings_hash) == 8
    assert ServingSettings(**changes).settings_hash != plain.settings_hash


@pytest.mark.parametrize("changes", [{"bake_minutes": 9}, {"notify": ("a@example.org",)}, {"idle_hours": 3}])
def test_hash_follows_nothing_else(changes):
    assert ServingSettings(**changes).settings_hash == ServingSettings().settings_hash


@pytest.mark.parametrize(
    ("instance", "encrypted"),
    [("ml.c5.large", True), ("ml.m6i.large", True), ("ml.c5d.large", False), ("ml.g4dn.xlarge", False)],
)
def test_local_disks_take_no_key(instance, encrypted):
    settings = ServingSettings(instance_type=instance, kms_key_arn=KEY)
    assert settings.volume_key_arn == (KEY if encrypted else None)


def test_single_instance_and_serverless_have_no_shifting():
    assert ServingSettings(traffic_shift="canary").shifts == "all_at_once"
    assert ServingSettings(kind="serverless", instance_count=2, max_instance_count=2).shifts == "all_at_once"
    assert ServingSettings(instance_count=2, max_instance_count=2).shifts == "canary"
