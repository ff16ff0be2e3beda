"""Models on this machine given as parameters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from small_pipeline import BUCKET, Laboratory

from local.errors import LocalRunError
from local.model_files import upload_model_files

DEFAULTS = {"BaseModelUri": "latest-approved", "PretrainedModelUri": "s3://b/model.tar.gz", "Epochs": 3}


def replaced(laboratory: Laboratory, **given: str) -> dict[str, str]:
    return upload_model_files(laboratory.account.objects, given, defaults=DEFAULTS, bucket=BUCKET)


@pytest.mark.parametrize("name", ["BaseModelUri", "PretrainedModelUri"])
def test_a_file_is_uploaded_and_its_uri_takes_its_place(laboratory: Laboratory, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(b"weights")
    key = f"pretrained/{hashlib.sha256(b'weights').hexdigest()[:12]}/model.tar.gz"
    given = {name: str(path), "Epochs": "5"}
    assert replaced(laboratory, **given) == {name: f"s3://{BUCKET}/{key}", "Epochs": "5"}
    assert laboratory.account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"weights"


def test_what_is_no_path_stays(laboratory: Laboratory) -> None:
    given = {"BaseModelUri": "latest-approved", "PretrainedModelUri": "s3://other/model.tar.gz"}
    assert replaced(laboratory, **given) == given
    # A pipeline that does not declare the parameter refuses it by its name later.
    other = {"BaseModelUri": "nowhere"}
    assert upload_model_files(laboratory.account.objects, other, defaults={}, bucket=BUCKET) == other
    assert laboratory.keys() == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "latest-aproved",
            "latest-aproved does not exist: give an s3:// URI or a file that ends in .tar.gz, or latest",
        ),
        ("", "is not a file"),
        ("model.zip", r"model.zip does not end in .tar.gz"),
    ],
)
def test_what_is_no_model(laboratory: Laboratory, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "model.zip").write_text("x")
    with pytest.raises(LocalRunError, match=message) as raised:
        replaced(laboratory, BaseModelUri=str(tmp_path / name))
    assert str(raised.value).startswith("parameter BaseModelUri: ")
