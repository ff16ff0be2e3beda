"""A small model as the package container leaves it, for tests that run the real serve program."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from end_to_end import REPOSITORY
from PIL import Image

from local.registry.store import RegistryStore

COLORS = ["red", "green", "blue"]
MAKER = REPOSITORY / "tests" / "containers" / "serve" / "make_model.py"
BREAKER = REPOSITORY / "tests" / "local" / "break_model.py"
BUCKET = "imgpipe-dev-artifacts-123456789012-us-east-1"
GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev"


def picture(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, mxnet_python: Path) -> Path:
    """A folder as the package container leaves it: a model that calls pictures after their strongest colour."""
    folder = tmp_path_factory.mktemp("served")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([mxnet_python, MAKER, folder], env=environment, check=True, capture_output=True)
    body = json.dumps([base64.b64encode(picture("blue")).decode()])
    contents: dict[str, Any] = {
        "labels.json": COLORS,
        "model.json": {
            "schema_version": 1,
            "image_shape": [3, 16, 16],
            "resize": 20,
            "crop": "none",
            "classes": 3,
            "multi_label": False,
            "precision": "fp32",
            "thresholds": {"overall": 0.5, "per_class": [None, None, None]},
            "content_hash": "c" * 64,
            "training_artifact_sha256": "a" * 64,
            "accuracy": 1.0,
        },
        "sample.json": {
            "schema_version": 1,
            "content_type": "application/json",
            "body": body,
            "label": "blue",
            "index": 2,
            "probability": 0.99,
        },
    }
    (folder / "colors.onnx").rename(folder / "model.onnx")
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    _pack(folder)
    return folder


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory, served: Path, mxnet_python: Path) -> Path:
    """The same with a model that passes its smoke test, and fails at whatever is red."""
    folder = tmp_path_factory.mktemp("broken")
    for path in served.iterdir():
        shutil.copyfile(path, folder / path.name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([mxnet_python, BREAKER, folder / "model.onnx"], env=environment, check=True, capture_output=True)
    _pack(folder)
    return folder


def _pack(folder: Path) -> None:
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name in ("model.onnx", "labels.json", "model.json", "sample.json"):
            archive.add(folder / name, name)


def register(home: Path, version: int, served: Path, *, label: str = "blue") -> None:
    """Adds a version, whose sample claims to be `label`."""
    prefix = f"models/execution{version}/serving"
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:b"}
    container["ModelDataUrl"] = f"s3://{BUCKET}/{prefix}/model.tar.gz"
    types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
    sample = {"sample_uri": f"s3://{BUCKET}/{prefix}/sample.json", "sample_label": label}

    def write(directory: Path) -> None:
        (directory / prefix).mkdir(parents=True)
        shutil.copyfile(served / "model.tar.gz", directory / prefix / "model.tar.gz")
        content = json.loads((served / "sample.json").read_text()) | {"label": label}
        (directory / prefix / "sample.json").write_text(json.dumps(content))

    store = RegistryStore(home, "dev")
    with store.locked():
        store.add(
            version=version,
            arn=f"{GROUP}/{version}",
            created=datetime.now(timezone.utc),
            approval_status="PendingManualApproval",
            bucket=BUCKET,
            request={
                "ModelPackageGroupName": "imgpipe-dev",
                "ModelApprovalStatus": "PendingManualApproval",
                "InferenceSpecification": {"Containers": [container], **types},
                "CustomerMetadataProperties": sample,
            },
            write_objects=write,
        )
