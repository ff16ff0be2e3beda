"""Packaging: an exact copy with its hash, only from whole and safe inputs, all files or none."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from common.contract import ContainerError
from package.bundle import bundle

CLASSES = ["cat", "dog"]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    root = tmp_path / "ml" / "processing" / "input"
    for name in ("model", "evaluation", "dataset"):
        (root / name).mkdir(parents=True)
    save_archive(root / "model/model.tar.gz", "image-classification-symbol.json")
    dataset = {
        "classes": CLASSES,
        "counts": {"train": 3},
        "content_hash": "sha256:ab",
        "image_shape": [3, 8, 8],
        "resize": 8,
    }
    (root / "dataset/dataset.json").write_text(json.dumps(dataset))
    (root / "dataset/labels.json").write_text(json.dumps(CLASSES))
    (root / "evaluation/evaluation.json").write_text(json.dumps({"classes": CLASSES}))
    (root / "evaluation/report.html").write_text("<html></html>")
    (root / "evaluation/baseline.json").write_text('{"schema_version": 1}')
    return root


def save_archive(path: Path, name: str, content: bytes = b"{}  ") -> None:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def run_bundle(inputs: Path, destination: Path) -> dict[str, object]:
    return bundle(
        model=inputs / "model", evaluation=inputs / "evaluation", dataset=inputs / "dataset", destination=destination
    )


def test_the_container_copies_and_hashes(inputs: Path) -> None:
    root = inputs.parents[1]
    command = [sys.executable, "-m", "package", "--num-layers", "20", "--image-shape", "3,8,8"]
    environment = {**os.environ, "ML_ROOT": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    output = root / "processing/output/package"
    assert sorted(path.name for path in output.iterdir()) == [
        "baseline.json",
        "dataset.json",
        "evaluation.json",
        "labels.json",
        "model.tar.gz",
        "package.json",
        "report.html",
    ]
    artifact = (inputs / "model/model.tar.gz").read_bytes()
    assert (output / "model.tar.gz").read_bytes() == artifact
    assert json.loads((output / "package.json").read_text()) == {
        "schema_version": 1,
        "training_artifact_sha256": hashlib.sha256(artifact).hexdigest(),
        "content_hash": "sha256:ab",
        "num_classes": 2,
        "hyperparameters": {},
        "image_shape": "3,8,8",
        "num_layers": "20",
    }
    assert (output / "baseline.json").read_bytes() == (inputs / "evaluation/baseline.json").read_bytes()


TRAINING = {
    "schema_version": 1,
    "hyperparameters": {"epochs": "3", "learning_rate": "0.1"},
    "num_layers": 20,
    "num_classes": 2,
    "image_shape": [3, 64, 48],
    "best_epoch": 0,
    "best_params": "image-classification-0001.params",
    "selected_by": "accuracy",
    "base_model": None,
    "epochs": [
        {
            "epoch": 0,
            "learning_rate": 0.1,
            "seconds": 1.0,
            "images_per_second": 9.0,
            "data_wait_fraction": 0.0,
            "train": {},
            "validation": {},
        }
    ],
    "checks": [],
}


def test_what_the_model_was_trained_with(inputs: Path, tmp_path: Path) -> None:
    save_archive(inputs / "model/model.tar.gz", "training.json", json.dumps(TRAINING).encode())
    content = run_bundle(inputs, tmp_path / "out")
    assert content == json.loads((tmp_path / "out/package.json").read_text())
    assert content["hyperparameters"] == {"epochs": "3", "learning_rate": "0.1"}
    assert (content["image_shape"], content["num_layers"]) == ("3,64,48", "20")


def test_a_malformed_training_record(inputs: Path, tmp_path: Path) -> None:
    save_archive(inputs / "model/model.tar.gz", "training.json", b"{}")
    with pytest.raises(ContainerError, match=r"training.json in the model's archive is malformed: it has no field"):
        run_bundle(inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_equal_inputs_give_equal_bytes(inputs: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run_bundle(inputs, tmp_path / name)
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    "missing",
    [
        "model/model.tar.gz",
        "evaluation/report.html",
        "evaluation/evaluation.json",
        "evaluation/baseline.json",
        "dataset/labels.json",
    ],
)
def test_a_missing_input_leaves_nothing(inputs: Path, tmp_path: Path, missing: str) -> None:
    (inputs / missing).unlink()
    with pytest.raises(ContainerError, match="does not exist"):
        run_bundle(inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_scores_of_other_classes_are_refused(inputs: Path, tmp_path: Path) -> None:
    (inputs / "evaluation/evaluation.json").write_text('{"classes": ["dog", "cat"]}')
    with pytest.raises(ContainerError, match="name different classes"):
        run_bundle(inputs, tmp_path / "out")


@pytest.mark.parametrize("content", ["hostile", "cut"])
def test_an_unsafe_or_damaged_artifact_is_not_registered(inputs: Path, tmp_path: Path, content: str) -> None:
    path = inputs / "model/model.tar.gz"
    if content == "hostile":
        save_archive(path, "../evil")
    else:
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ContainerError, match=r"refused|not a whole"):
        run_bundle(inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
