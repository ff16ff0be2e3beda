"""The digits in the names of models and endpoint configurations: they follow the requests, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra.settings import EnvironmentSettings, ServingSettings
from infra.workflows.deploy import DeployNames, deploy_machine
from infra.workflows.deployment import requests
from infra.workflows.deployment.requests import deployment_hash, settings_hash

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
NETWORK = {"subnet_ids": ("subnet-01234567",), "security_group_ids": ("sg-01234567",)}
# Each setting of the endpoint, changed from the default one; what another needs beside it is there too.
CHANGES: dict[str, dict[str, Any]] = {
    "kind": {"kind": "serverless"},
    "instance_type": {"instance_type": "ml.c5.xlarge"},
    "instance_count": {"instance_count": 2, "max_instance_count": 2},
    "max_instance_count": {"max_instance_count": 2},
    "target_invocations_per_minute": {"target_invocations_per_minute": 9},
    "serverless_memory_mb": {"serverless_memory_mb": 4096},
    "serverless_max_concurrency": {"serverless_max_concurrency": 9},
    "max_payload_mb": {"max_payload_mb": 1.0},
    "capture_percent": {"capture_percent": 1},
    "capture_expiry_days": {"capture_expiry_days": 19},
    "kms_key_arn": {"kms_key_arn": KEY},
    "subnet_ids": NETWORK,
    "security_group_ids": NETWORK | {"security_group_ids": ("sg-76543210",)},
    "network_isolation": {"network_isolation": False},
    "traffic_shift": {"traffic_shift": "linear"},
    "shift_percent": {"shift_percent": 20},
    "bake_minutes": {"bake_minutes": 9},
    "error_rate_percent": {"error_rate_percent": 9.0},
    "latency_ms": {"latency_ms": 9},
    "idle_hours": {"idle_hours": 9},
    "notify": {"notify": ("a@example.org",)},
}
PLAIN = [{}, {"kind": "serverless"}, {"capture_percent": 5, "kms_key_arn": KEY}, {"instance_type": "ml.g4dn.xlarge"}]


def settings(serving: dict[str, Any], **others: Any) -> EnvironmentSettings:
    content = {"environment": "dev", "region": "us-east-1", "retain_on_destroy": False, "serving": serving, **others}
    return EnvironmentSettings.model_validate(content)


def sent(of: EnvironmentSettings, *, account: str = "123456789012") -> list[dict[str, Any]]:
    """What the machine sends to make model and configuration, without their tags."""
    names = DeployNames(
        partition="aws",
        model_package_group=of.prefix,
        endpoint_role_arn=f"arn:aws:iam::{account}:role/endpoint",
        artifact_bucket=f"artifacts-{account}",
        topic_arn=f"arn:aws:sns:us-east-1:{account}:topic",
        error_alarm="errors",
        latency_alarm="latency",
        smoke_alarm="smoke",
    )
    states = deploy_machine(of, names)["States"]
    calls = [states[name]["Parameters"] for name in ("Create model", "Create configuration")]
    return [{key: value for key, value in call.items() if key != "Tags"} for call in calls]


def lacks(serving: dict[str, Any]) -> bool:
    """Whether this is a serverless endpoint with what only instances have."""
    refused = {"capture_percent", "subnet_ids", "network_isolation", "kms_key_arn", "max_instance_count"}
    return serving.get("kind") == "serverless" and bool(refused & serving.keys() or "linear" in serving.values())


def test_every_setting_of_the_endpoint_is_tried():
    assert CHANGES.keys() == ServingSettings.model_fields.keys()


@pytest.mark.parametrize(
    ("plain", "changes"),
    [(plain, changes) for plain in PLAIN for changes in CHANGES.values() if not lacks(plain | changes)],
)
def test_digits_change_with_the_requests_that_the_machine_sends_and_only_with_them(plain, changes):
    before, after = settings(plain), settings(plain | changes)
    assert (settings_hash(before) != settings_hash(after)) == (sent(before) != sent(after))


@pytest.mark.parametrize("name", ["kind", "instance_type", "capture_percent", "max_payload_mb", "security_group_ids"])
def test_digits_follow_what_models_and_configurations_are_made_from(name):
    assert settings_hash(settings(CHANGES[name])) != settings_hash(settings({}))


@pytest.mark.parametrize("name", ["bake_minutes", "notify", "idle_hours", "serverless_memory_mb"])
def test_digits_follow_nothing_else(name):
    assert settings_hash(settings(CHANGES[name])) == settings_hash(settings({}))


@pytest.mark.parametrize("request_of", ["model_request", "configuration_request"])
def test_digits_change_with_the_code_that_writes_a_request(monkeypatch, request_of):
    before, original = settings_hash(settings({})), getattr(requests, request_of)
    monkeypatch.setattr(requests, request_of, lambda ctx: original(ctx) | {"New": True})
    assert settings_hash(settings({})) != before


def test_digits_know_no_account_and_no_tags():
    """The account is a CDK token, whose text no two synths share."""
    plain, tagged = settings({"capture_percent": 5}), settings({"capture_percent": 5}, tags={"team": "vision"})
    assert sent(plain) != sent(plain, account="999999999999")
    assert settings_hash(plain) == settings_hash(tagged)
    assert re.fullmatch(r"[0-9a-f]{8}", settings_hash(plain))


def test_deployment_follows_scaling_too():
    plain, scaled = settings({}), settings({"max_instance_count": 2})
    assert settings_hash(plain) == settings_hash(scaled)
    assert deployment_hash(plain) != deployment_hash(scaled)
