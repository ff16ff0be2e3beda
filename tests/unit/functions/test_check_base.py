"""The CheckBase function against an emulated S3."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from functions.check_base import handler as check_base

BUCKET = "imgpipe-dev-artifacts"
FOLDER = "models/one/package"
BASE = f"s3://{BUCKET}/{FOLDER}/model.tar.gz"
DATASET = f"s3://{BUCKET}/executions/two/preprocess/dataset"
CLASSES = ["cat", "dog"]
PACKAGE = {"schema_version": 1, "num_classes": 2, "image_shape": "3,64,64", "num_layers": "20"}


@pytest.fixture
def put(monkeypatch):
    """Writes files into the bucket of an account that has a base model and a data set that fit each other."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)

        def write(key: str, content: object) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            client.put_object(Bucket=BUCKET, Key=key, Body=body)

        write(f"{FOLDER}/model.tar.gz", b"weights")
        write(f"{FOLDER}/package.json", PACKAGE)
        write(f"{FOLDER}/labels.json", CLASSES)
        write("executions/two/preprocess/dataset/labels.json", CLASSES)
        yield write


def _check(**changes: object) -> dict:
    event = {"base_model_uri": BASE, "dataset_uri": DATASET, "num_layers": "20", "image_size": "64"}
    return check_base.handler(event | changes, None)


def _refused(match: str, **changes: object) -> str:
    with pytest.raises(ValueError, match=match) as caught:
        _check(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _delete(key: str) -> None:
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)


def test_a_base_that_fits(put):
    assert _check() == {"base_model_uri": BASE, "checked": "yes"}


@pytest.mark.parametrize(("layers", "size"), [(20, 64), ("20", "64"), (20.0, 64.0), (" 20 ", "64.0")])
@pytest.mark.parametrize(
    ("base_layers", "base_shape"), [("20", "3,64,64"), (20, [3, 64, 64]), ("20", "3, 64, 64"), (20.0, [3.0, 64, 64])]
)
def test_numbers_and_text_are_the_same(put, layers, size, base_layers, base_shape):
    put(f"{FOLDER}/package.json", PACKAGE | {"num_layers": base_layers, "image_shape": base_shape})
    assert _check(num_layers=layers, image_size=size)["checked"] == "yes"


def test_a_data_set_uri_with_a_slash(put):
    assert _check(dataset_uri=f"{DATASET}/")["checked"] == "yes"


@pytest.mark.parametrize("missing", ["num_layers", "image_shape"])
@pytest.mark.parametrize("how", ["unknown", "absent"])
def test_what_the_package_does_not_know_is_not_compared(put, missing, how):
    package = PACKAGE | {missing: "unknown"}
    if how == "absent":
        del package[missing]
    put(f"{FOLDER}/package.json", package)
    other = {"num_layers": {"num_layers": 152}, "image_shape": {"image_size": 224}}
    assert _check(**other[missing])["checked"] == "yes"


def test_another_network_names_both_sides_and_the_way_out(put):
    text = _refused("it has 20 layers and this execution asks for 32", num_layers="32")
    assert text.startswith(f"base model {BASE} does not fit: ")
    assert text.endswith("or train from scratch with the pipeline train")


def test_another_image_size(put):
    _refused("its images are 3,64,64 and this execution's are 3,224,224", image_size="224")


def test_images_that_are_not_square(put):
    put(f"{FOLDER}/package.json", PACKAGE | {"image_shape": "3,64,32"})
    _refused("its images are 3,64,32 and this execution's are 3,64,64")


def test_other_classes(put):
    put("executions/two/preprocess/dataset/labels.json", ["cat", "dog", "eel"])
    text = _refused(r"it has 2 classes and the data set 3 \(only the data set has: eel\)")
    assert "only it has" not in text


def test_a_class_of_another_name(put):
    put("executions/two/preprocess/dataset/labels.json", ["cat", "dogs"])
    _refused(r"it has 2 classes and the data set 2 \(only it has: dog, only the data set has: dogs\)")


def test_the_same_classes_in_another_order(put):
    put(f"{FOLDER}/labels.json", ["dog", "cat"])
    _refused("its classes are in the order dog, cat and the data set's in the order cat, dog")


def test_many_classes_stay_one_short_line(put):
    put("executions/two/preprocess/dataset/labels.json", [f"class {number}" for number in range(500)])
    text = _refused("and 495 more")
    assert len(text) < 1000


def test_all_differences_are_named_at_once(put):
    put(f"{FOLDER}/labels.json", ["cat", "dog", "eel"])
    text = _refused("20 layers", num_layers=18, image_size=32)
    assert "3,32,32" in text
    assert "only it has: eel" in text


def test_without_a_package_the_trainer_checks(put):
    _delete(f"{FOLDER}/package.json")
    answer = _check(num_layers="152")
    assert answer == {"base_model_uri": BASE, "checked": "no package.json beside the model: the trainer checks"}


def test_a_package_of_a_longer_name_is_none(put):
    _delete(f"{FOLDER}/package.json")
    put(f"{FOLDER}/package.json.bak", PACKAGE)
    assert _check()["checked"].startswith("no package.json")


def test_a_model_at_the_top_of_a_bucket(put):
    put("model.tar.gz", b"weights")
    assert _check(base_model_uri=f"s3://{BUCKET}/model.tar.gz")["checked"].startswith("no package.json")


def test_a_base_that_does_not_exist(put):
    _delete(f"{FOLDER}/model.tar.gz")
    _refused(rf"base model {BASE} does not exist: name a model.tar.gz that does, or latest-approved")


@pytest.mark.parametrize(
    "uri", ["", "model.tar.gz", "s3://b/model.tar.gz", f"s3://{BUCKET}/{FOLDER}/", "s3://bucket//x"]
)
def test_a_malformed_base(put, uri):
    _refused("is no S3 URI of a model.tar.gz: write it as s3://bucket/prefix/model.tar.gz", base_model_uri=uri)


def test_a_malformed_data_set(put):
    _refused("data set 'dataset' is no S3 folder", dataset_uri="dataset")


def test_a_missing_bucket(put):
    _refused("cannot be read: the bucket does not exist", base_model_uri="s3://imgpipe-missing/a/model.tar.gz")


@pytest.mark.parametrize(
    ("key", "uri"),
    [
        (f"{FOLDER}/labels.json", f"s3://{BUCKET}/{FOLDER}/labels.json"),
        ("executions/two/preprocess/dataset/labels.json", f"{DATASET}/labels.json"),
    ],
)
def test_labels_that_are_missing(put, key, uri):
    _delete(key)
    _refused(f"{uri} does not exist: take model and data set as the pipelines wrote them")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{", "package.json is not JSON"),
        (b"\xff", "package.json is not JSON"),
        ([], "package.json holds no JSON dict"),
        (PACKAGE | {"num_layers": "many"}, "num_layers in s3://.*package.json is 'many', which is no whole number"),
        (PACKAGE | {"num_layers": 20.5}, "is 20.5, which is no whole number"),
        (PACKAGE | {"num_layers": "inf"}, "is 'inf', which is no whole number"),
        (PACKAGE | {"image_shape": "3x64x64"}, "image_shape in s3://.*package.json is '3x64x64'"),
    ],
)
def test_a_damaged_package(put, content, match):
    put(f"{FOLDER}/package.json", content)
    _refused(match)


@pytest.mark.parametrize("name", ["num_layers", "image_size"])
def test_an_event_without_a_value_is_named(put, name):
    _refused(f"{name} is None, which is no whole number", **{name: None})


def _failing(monkeypatch, code: str) -> None:
    class Client:
        def list_objects_v2(self, **_place):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListObjectsV2")

    monkeypatch.setattr(check_base.boto3, "client", lambda *_a, **_k: Client())


def test_access_denied_says_where_the_model_may_lie(monkeypatch):
    _failing(monkeypatch, "AccessDenied")
    _refused("may not read it; copy it below pretrained/ in the environment's data bucket")


def test_an_error_of_the_service_stays_itself(monkeypatch):
    _failing(monkeypatch, "InternalError")
    with pytest.raises(ClientError):
        _check()


def test_the_log_is_one_json_line(put, capsys):
    _check()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["checked"] == "yes"
