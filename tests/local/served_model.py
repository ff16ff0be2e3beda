"""A small model as the package container leaves it, for tests that run the real serve program."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from end_to_end import REPOSITORY
from PIL import Image

COLORS = ["red", "green", "blue"]
MAKER = REPOSITORY / "tests" / "containers" / "serve" / "make_model.py"


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
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name in ("model.onnx", *contents):
            archive.add(folder / name, name)
    return folder
