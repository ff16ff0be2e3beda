"""The Resolve function against an emulated S3 and model registry."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from functions.resolve import handler as resolve

BUCKET = "imgpipe-dev-data"
URI = f"s3://{BUCKET}/datasets/pets"
ARTIFACTS = "imgpipe-dev-artifacts"
GROUP = "imgpipe-dev"


@pytest.fixture
def s3(monkeypatch):
    """An S3 client of an account with two empty buckets and an empty model package group."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODEL_PACKAGE_GROUP_NAME", GROUP)
    monkeypatch.setenv("ARTIFACT_BUCKET", ARTIFACTS)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.create_bucket(Bucket=ARTIFACTS)
        boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)
        yield client


def _put(s3, **objects: bytes) -> None:
    for name, body in objects.items():
        s3.put_object(Bucket=BUCKET, Key=f"datasets/pets/cat/{name}.jpg", Body=body)


def _resolve(uri: str = URI) -> dict:
    return resolve.handler({"input_data_uri": uri}, None)


def test_answer_has_hash_count_and_size(s3):
    _put(s3, a=b"12345", b=b"123")
    answer = _resolve()
    assert set(answer) == {
        "input_uri",
        "listing_hash",
        "object_count",
        "total_bytes",
        "champion_version",
        "champion_uri",
    }
    assert len(answer["listing_hash"]) == 64
    assert int(answer["listing_hash"], 16) >= 0
    assert (answer["object_count"], answer["total_bytes"]) == (2, 8)
    json.dumps(answer)


def test_the_same_images_elsewhere_have_the_same_hash(s3):
    _put(s3, a=b"1", b=b"2")
    s3.put_object(Bucket=BUCKET, Key="datasets/copy/cat/a.jpg", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="datasets/copy/cat/b.jpg", Body=b"2")
    assert _resolve()["listing_hash"] == _resolve(f"s3://{BUCKET}/datasets/copy/")["listing_hash"]


def test_a_job_is_given_what_was_listed_and_no_folder_of_a_longer_name(s3):
    _put(s3, a=b"1")
    before = _resolve()
    s3.put_object(Bucket=BUCKET, Key="datasets/pets-old/cat/a.jpg", Body=b"2")
    assert _resolve() == before
    assert before["input_uri"] == f"{URI}/"


@pytest.mark.parametrize("change", ["content", "name", "added", "removed", "size only"])
def test_every_change_gives_another_hash(s3, change):
    _put(s3, a=b"1", b=b"2")
    before = _resolve()["listing_hash"]
    if change == "content":
        _put(s3, a=b"x")
    elif change == "name":
        s3.delete_object(Bucket=BUCKET, Key="datasets/pets/cat/a.jpg")
        _put(s3, c=b"1")
    elif change == "added":
        _put(s3, c=b"3")
    elif change == "removed":
        s3.delete_object(Bucket=BUCKET, Key="datasets/pets/cat/b.jpg")
    else:
        _put(s3, a=b"11")
    assert _resolve()["listing_hash"] != before


def test_swapped_contents_give_another_hash(s3):
    _put(s3, a=b"1", b=b"2")
    before = _resolve()["listing_hash"]
    _put(s3, a=b"2", b=b"1")
    assert _resolve()["listing_hash"] != before


def test_the_order_of_the_listing_does_not_matter(s3, monkeypatch):
    _put(s3, a=b"1", b=b"2", c=b"3")
    before = _resolve()
    objects = resolve._objects
    monkeypatch.setattr(resolve, "_objects", lambda *place: reversed(list(objects(*place))))
    assert _resolve() == before


def test_names_cannot_be_shifted_into_one_another(s3):
    s3.put_object(Bucket=BUCKET, Key='datasets/one/a", "b', Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="datasets/two/a", Body=b"1")
    assert _resolve(f"s3://{BUCKET}/datasets/one") != _resolve(f"s3://{BUCKET}/datasets/two")


def test_more_objects_than_a_page(s3):
    for number in range(1005):
        s3.put_object(Bucket=BUCKET, Key=f"datasets/pets/cat/{number:05}.jpg", Body=b"1")
    first = _resolve()
    assert first["object_count"] == 1005
    s3.put_object(Bucket=BUCKET, Key="datasets/pets/cat/01004.jpg", Body=b"2")
    assert _resolve()["listing_hash"] != first["listing_hash"], "a change past the first page counts"


def test_a_neighbouring_prefix_is_not_part_of_it(s3):
    _put(s3, a=b"1")
    before = _resolve()
    s3.put_object(Bucket=BUCKET, Key="datasets/pets-old/cat/b.jpg", Body=b"2")
    assert _resolve() == before


def test_folder_markers_are_no_images(s3):
    s3.put_object(Bucket=BUCKET, Key="datasets/pets/", Body=b"")
    s3.put_object(Bucket=BUCKET, Key="datasets/pets/cat/", Body=b"")
    with pytest.raises(ValueError, match="holds no object"):
        _resolve()


def test_empty_prefix(s3):
    with pytest.raises(ValueError, match=rf"input {URI} holds no object: upload class folders"):
        _resolve()


@pytest.mark.parametrize(
    "uri",
    ["", "datasets/pets", "https://bucket/x", "s3://", "s3://bucket", "s3://bucket/", "s3://bucket//x", "s3://B/x"],
)
def test_malformed_uri(s3, uri):
    with pytest.raises(ValueError, match="is no S3 folder: write it as s3://bucket/prefix"):
        _resolve(uri)


def test_no_uri_at_all(s3):
    with pytest.raises(ValueError, match="is no S3 folder"):
        resolve.handler({}, None)


def test_missing_bucket(s3):
    with pytest.raises(ValueError, match="cannot be listed: the bucket does not exist"):
        _resolve("s3://imgpipe-missing/datasets/pets")


def _failing(monkeypatch, code: str) -> None:
    class Client:
        def get_paginator(self, _name):
            return self

        def paginate(self, **_place):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListObjectsV2")

    real = boto3.client
    monkeypatch.setattr(
        resolve.boto3, "client", lambda name, **options: Client() if name == "s3" else real(name, **options)
    )


def test_access_denied(s3, monkeypatch):
    _failing(monkeypatch, "AccessDenied")
    with pytest.raises(ValueError, match="may not list it; put the images below") as caught:
        _resolve()
    assert "\n" not in str(caught.value)


def test_an_error_of_the_service_stays_itself(s3, monkeypatch):
    _failing(monkeypatch, "InternalError")
    with pytest.raises(ClientError):
        _resolve()


def test_the_log_is_one_json_line(s3, capsys):
    _put(s3, a=b"1")
    answer = _resolve()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["listing_hash"] == answer["listing_hash"]


def _register(status: str = "Approved", *, group: str = GROUP, **metadata: str) -> None:
    properties = {"CustomerMetadataProperties": metadata} if metadata else {}
    boto3.client("sagemaker").create_model_package(
        ModelPackageGroupName=group, ModelPackageDescription="model", ModelApprovalStatus=status, **properties
    )


def _artifact(execution: str) -> str:
    return f"s3://{ARTIFACTS}/models/{execution}/package/model.tar.gz"


def _champion() -> tuple[str, str]:
    answer = _resolve()
    return answer["champion_version"], answer["champion_uri"]


NO_CHAMPION = ("none", f"s3://{ARTIFACTS}/models/no-champion/")


@pytest.fixture
def images(s3):
    """An S3 client of an account with one image."""
    _put(s3, a=b"1")
    return s3


def test_without_a_version_the_champion_is_a_marker_for_a_job_to_read(images):
    assert _champion() == NO_CHAMPION
    # Again: a second execution finds the marker of the first.
    assert _champion() == NO_CHAMPION
    listed = images.list_objects_v2(Bucket=ARTIFACTS)["Contents"]
    assert [item["Key"] for item in listed] == ["models/no-champion/champion.json"]
    body = images.get_object(Bucket=ARTIFACTS, Key="models/no-champion/champion.json")["Body"].read()
    assert json.loads(body) == {"champion": None}


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_what_is_not_approved_is_no_champion(images, status):
    _register(status, training_artifact_uri=_artifact("one"))
    assert _champion() == NO_CHAMPION


def test_the_champion_is_the_newest_approved_version(images):
    _register(training_artifact_uri=_artifact("one"))
    _register(training_artifact_uri=_artifact("two"), content_hash="abc")
    _register("Rejected", training_artifact_uri=_artifact("three"))
    _register("PendingManualApproval", training_artifact_uri=_artifact("four"))
    assert _champion() == ("2", f"s3://{ARTIFACTS}/models/two/package/")
    assert "Contents" not in images.list_objects_v2(Bucket=ARTIFACTS), "no marker beside a champion"


def test_the_champion_is_of_the_own_group(images):
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName="imgpipe-prod")
    _register(training_artifact_uri=_artifact("one"))
    _register(group="imgpipe-prod", training_artifact_uri=_artifact("other"))
    assert _champion() == ("1", f"s3://{ARTIFACTS}/models/one/package/")


def test_the_newest_has_the_highest_number_whatever_was_approved_last(images):
    client = boto3.client("sagemaker")
    for name in ("one", "two"):
        _register("PendingManualApproval", training_artifact_uri=_artifact(name))
    versions = client.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
    for summary in sorted(versions, key=lambda version: -version["ModelPackageVersion"]):
        arn = summary["ModelPackageArn"]
        # The emulator forgets the metadata that an update does not name.
        metadata = client.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]
        client.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus="Approved", CustomerMetadataProperties=metadata
        )
    assert _champion()[0] == "2"


def test_more_versions_than_a_page(images):
    for number in range(1, 116):
        _register("Approved" if number != 115 else "Rejected", training_artifact_uri=_artifact(f"e{number}"))
    assert _champion() == ("114", f"s3://{ARTIFACTS}/models/e114/package/")


def test_a_package_right_below_its_execution(images):
    _register(training_artifact_uri=f"s3://{ARTIFACTS}/models/one/model.tar.gz")
    assert _champion() == ("1", f"s3://{ARTIFACTS}/models/one/")


def test_a_version_registered_by_hand_is_no_champion(images):
    _register(training_artifact_uri=_artifact("one"))
    _register(note="by hand")
    _register()
    assert _champion() == ("1", f"s3://{ARTIFACTS}/models/one/package/")


def test_only_versions_registered_by_hand(images):
    _register()
    assert _champion() == NO_CHAMPION


@pytest.mark.parametrize(
    "uri",
    [
        "model.tar.gz",
        f"s3://{ARTIFACTS}/executions/one/train/job/output/model.tar.gz",
        "s3://elsewhere/models/one/package/model.tar.gz",
        f"s3://{ARTIFACTS}/models/model.tar.gz",
        f"s3://{ARTIFACTS}/models//model.tar.gz",
        f"s3://{ARTIFACTS}/models/one/package/",
        f"s3://{ARTIFACTS}/models/one/package/model.zip",
    ],
)
def test_an_approved_version_whose_artifact_is_not_kept_is_neither_champion_nor_base(images, uri):
    """As earlier releases registered them: training must go on, only going on from it must not."""
    _register(training_artifact_uri=_artifact("one"))
    _register(training_artifact_uri=uri)
    assert _champion() == ("1", f"s3://{ARTIFACTS}/models/one/package/")
    with pytest.raises(ValueError, match="version 2 of imgpipe-dev does not name a training artifact that is kept"):
        _base("latest-approved")


@pytest.mark.parametrize("folder", ["my model (final)~2", "m" * 240])
def test_a_base_that_cannot_be_registered_is_refused_before_it_costs(images, folder):
    with pytest.raises(ValueError, match="cannot be registered as a version's origin: its URI may have 256 characters"):
        _base(f"s3://data-bucket/pretrained/{folder}/model.tar.gz")


def _base(uri: str) -> dict:
    return resolve.handler({"input_data_uri": URI, "base_model_uri": uri}, None)


def test_the_newest_approved_version_is_the_base(images):
    _register(training_artifact_uri=_artifact("one"))
    _register(training_artifact_uri=_artifact("two"))
    answer = _base("latest-approved")
    assert (answer["base_model_uri"], answer["base_version"]) == (_artifact("two"), "2")
    assert answer["champion_version"] == "2"
    assert answer["object_count"] == 1


def test_a_base_that_was_given_is_taken_as_it_is(images):
    _register(training_artifact_uri=_artifact("one"))
    answer = _base(f"s3://{BUCKET}/pretrained/flowers/model.tar.gz")
    assert (answer["base_model_uri"], answer["base_version"]) == (
        f"s3://{BUCKET}/pretrained/flowers/model.tar.gz",
        "none",
    )
    assert answer["champion_version"] == "1"


def test_no_approved_version_to_start_from(images):
    _register("PendingManualApproval", training_artifact_uri=_artifact("one"))
    with pytest.raises(ValueError, match="no version of imgpipe-dev is approved: approve one, or give BaseModelUri"):
        _base("latest-approved")


def test_a_base_registered_by_hand_is_refused_by_its_number(images):
    _register(training_artifact_uri=_artifact("one"))
    _register()
    with pytest.raises(ValueError, match="version 2 of imgpipe-dev does not name a training artifact"):
        _base("latest-approved")


@pytest.mark.parametrize(
    "uri",
    ["", "model.tar.gz", "s3://bucket", "s3://bucket/models/", "s3://bucket/m.zip", "latest", "S3://b/model.tar.gz"],
)
def test_a_malformed_base_is_refused_before_anything_is_listed(s3, uri):
    with pytest.raises(ValueError, match=r"is no S3 URI of a model.tar.gz: write BaseModelUri as") as caught:
        _base(uri)
    assert "latest-approved" in str(caught.value)


def test_a_version_that_is_not_complete_is_passed_over(images):
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sagemaker.models import sagemaker_backends

    _register(training_artifact_uri=_artifact("one"))
    _register(training_artifact_uri=_artifact("two"))
    for package in sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].model_packages.values():
        if package.model_package_version == 2:
            package.model_package_status = "Failed"
    assert _champion()[0] == "1"
