"""The Resolve function against an emulated S3."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from functions.resolve import handler as resolve

BUCKET = "imgpipe-dev-data"
URI = f"s3://{BUCKET}/datasets/pets"


@pytest.fixture
def s3(monkeypatch):
    """An S3 client of an empty account with one empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


def _put(s3, **objects: bytes) -> None:
    for name, body in objects.items():
        s3.put_object(Bucket=BUCKET, Key=f"datasets/pets/cat/{name}.jpg", Body=body)


def _resolve(uri: str = URI) -> dict:
    return resolve.handler({"input_data_uri": uri}, None)


def test_answer_has_hash_count_and_size(s3):
    _put(s3, a=b"12345", b=b"123")
    answer = _resolve()
    assert set(answer) == {"input_uri", "listing_hash", "object_count", "total_bytes"}
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

    monkeypatch.setattr(resolve.boto3, "client", lambda *_a, **_k: Client())


def test_access_denied(monkeypatch):
    _failing(monkeypatch, "AccessDenied")
    with pytest.raises(ValueError, match="may not list it; put the images below") as caught:
        _resolve()
    assert "\n" not in str(caught.value)


def test_an_error_of_the_service_stays_itself(monkeypatch):
    _failing(monkeypatch, "InternalError")
    with pytest.raises(ClientError):
        _resolve()


def test_the_log_is_one_json_line(s3, capsys):
    _put(s3, a=b"1")
    answer = _resolve()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["listing_hash"] == answer["listing_hash"]
