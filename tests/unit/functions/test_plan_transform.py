"""The PlanTransform function against an emulated S3 and model registry."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from functions.plan_transform import handler as plan_transform

DATA, ARTIFACTS, GROUP = "imgpipe-dev-data", "imgpipe-dev-artifacts", "imgpipe-dev"
INPUT = f"s3://{DATA}/batch/main/"
OUTPUT = f"s3://{ARTIFACTS}/executions/one/plan"


@pytest.fixture
def account(monkeypatch):
    """An account with three images, one of them in a folder of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODEL_PACKAGE_GROUP_NAME", GROUP)
    with mock_aws():
        for bucket in (DATA, ARTIFACTS):
            boto3.client("s3").create_bucket(Bucket=bucket)
        for key in ("b.jpg", "a/c.jpg", "a.jpg"):
            _put(key, b"image")
        boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)
        yield


def _put(key: str, body: bytes, *, prefix: str = "batch/main/") -> None:
    boto3.client("s3").put_object(Bucket=DATA, Key=prefix + key, Body=body)


def _register(status: str = "Approved", *, served: bool = True) -> str:
    metadata = {"labels_uri": f"s3://{ARTIFACTS}/models/x/package/labels.json"}
    return boto3.client("sagemaker").create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus=status,
        CustomerMetadataProperties=metadata | ({"served_model_sha256": "ab" * 32} if served else {}),
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": f"s3://{ARTIFACTS}/models/x/serving/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]


def _plan(**changes: object) -> dict:
    event = {
        "input_data_uri": INPUT,
        "model_version": "latest-approved",
        "max_concurrent_transforms": 2,
        "max_payload_mb": 6,
        "output_uri": OUTPUT,
    }
    return plan_transform.handler(event | changes, None)


def _refused(**changes: object) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        _plan(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _written(uri: str) -> str:
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def test_plan_names_images_and_model(account):
    arn = _register()
    result = _plan()
    assert result == {
        "manifest_uri": f"{OUTPUT}/manifest.json",
        "plan_uri": f"{OUTPUT}/plan/",
        "listing_hash": result["listing_hash"],
        "object_count": 3,
        "skipped_count": 0,
        "model_version": "1",
        "model_package_arn": arn,
        "model_facts_uri": f"s3://{ARTIFACTS}/models/x/serving/model.json",
        "labels_uri": f"s3://{ARTIFACTS}/models/x/package/labels.json",
    }
    assert json.loads(_written(result["manifest_uri"])) == [{"prefix": INPUT}, "a.jpg", "a/c.jpg", "b.jpg"]
    plan = json.loads(_written(result["plan_uri"] + "plan.json"))
    assert plan == {
        "schema_version": 1,
        "input_uri": INPUT,
        "listing_hash": result["listing_hash"],
        "model_version": "1",
        "model_package_arn": arn,
    }
    lines = [json.loads(line) for line in _written(result["plan_uri"] + "listing.jsonl").splitlines()]
    assert lines[0] == {"key": "a.jpg", "size": 5, "skipped": None}
    assert [line["key"] for line in lines] == ["a.jpg", "a/c.jpg", "b.jpg"]


def test_objects_that_cannot_be_sent_are_listed_and_left_out(account):
    _register()
    _put("empty.jpg", b"")
    _put("large.jpg", b"x" * 1_000_001)
    _put("folder/", b"")  # the console's marker
    result = _plan(max_payload_mb=1)
    assert (result["object_count"], result["skipped_count"]) == (5, 2)
    assert json.loads(_written(result["manifest_uri"]))[1:] == ["a.jpg", "a/c.jpg", "b.jpg"]
    lines = [json.loads(line) for line in _written(result["plan_uri"] + "listing.jsonl").splitlines()]
    assert {line["key"]: line["skipped"] for line in lines if line["skipped"]} == {
        "empty.jpg": "empty",
        "large.jpg": "too_large",
    }


def test_keys_that_cannot_be_the_names_of_files_are_listed_and_left_out(account):
    _register()
    longest, longer = "ä" * 125 + "x", "ä" * 126
    unusable = ["x//y.jpg", "./y.jpg", "x/../y.jpg", f"{longer}/y.jpg", f"x/{longer}"]
    for key in (*unusable, f"{longest}/y.jpg", "...jpg"):
        _put(key, b"image")
    result = _plan()
    lines = [json.loads(line) for line in _written(result["plan_uri"] + "listing.jsonl").splitlines()]
    assert {line["key"]: line["skipped"] for line in lines if line["skipped"]} == dict.fromkeys(
        unusable, "unusable_key"
    )
    assert set(json.loads(_written(result["manifest_uri"]))[1:]) == {
        *("a.jpg", "a/c.jpg", "b.jpg"),
        *(f"{longest}/y.jpg", "...jpg"),
    }


def test_hash_follows_the_content_and_nothing_beside_it(account):
    _register()
    before = _plan()["listing_hash"]
    _put("other.jpg", b"image", prefix="batch/main-too/")
    assert _plan()["listing_hash"] == before
    _put("a.jpg", b"other")
    assert _plan()["listing_hash"] != before


def test_names_with_quotes_and_umlauts_are_json(account):
    _register()
    _put('a "b" ü.jpg', b"image")
    assert 'a "b" ü.jpg' in json.loads(_written(_plan()["manifest_uri"]))


def test_newest_approved_or_the_number_that_is_asked_for(account):
    for status in ("Approved", "Approved", "PendingManualApproval"):
        _register(status)
    assert _plan()["model_version"] == "2"
    assert _plan(model_version="1")["model_version"] == "1"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("3", "version 3 of imgpipe-dev is PendingManualApproval: approve it first, or give 1"),
        ("2", "version 2 of imgpipe-dev is Rejected: approve it first, or give 1"),
        ("9", "imgpipe-dev has no version 9: give one of 1, 2, 3, or latest-approved"),
        ("newest", "model version 'newest' is no version of imgpipe-dev: give its number, or latest-approved"),
    ],
)
def test_versions_that_may_not_classify(account, version, reason):
    for status in ("Approved", "Rejected", "PendingManualApproval"):
        _register(status)
    assert _refused(model_version=version) == reason


def test_no_version_is_approved(account):
    _register("PendingManualApproval")
    assert "no version of imgpipe-dev is approved" in _refused()
    assert "is PendingManualApproval: approve it first, or give none, for none" in _refused(model_version="1")


def test_a_version_without_a_served_model(account):
    _register(served=False)
    assert "version 1 of imgpipe-dev has no served model" in _refused()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input_data_uri": "main"}, "input 'main' is no S3 folder"),
        ({"input_data_uri": f"s3://{DATA}/batch/none"}, "holds no object: upload images of up to 6 MB"),
        ({"input_data_uri": "s3://imgpipe-nowhere/x"}, "cannot be listed: the bucket does not exist"),
        ({"max_concurrent_transforms": 17}, "must be from 1 to 16"),
        ({"max_concurrent_transforms": 0}, "must be from 1 to 16"),
    ],
)
def test_input_that_cannot_be_used(account, changes, reason):
    _register()
    assert reason in _refused(**changes)


def test_nothing_but_empty_objects(account):
    _register()
    _put("empty.jpg", b"", prefix="batch/empty/")
    assert "holds nothing but 1 objects that are empty, too large, or have unusable keys" in _refused(
        input_data_uri=f"s3://{DATA}/batch/empty"
    )
