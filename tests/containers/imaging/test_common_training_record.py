"""Reading training.json: what it says, what archives lack it, and one line for each way of being malformed."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from common.contract import ContainerError
from common.training_record import read_training_record, training_record_of

EPOCH = {
    "epoch": 0,
    "learning_rate": 0.1,
    "seconds": 2,
    "images_per_second": 50,
    "data_wait_fraction": 0.5,
    "train": {"accuracy": 0.5},
    "validation": {"accuracy": 0.25},
}
CONTENT = {
    "schema_version": 1,
    "hyperparameters": {"epochs": "1"},
    "num_layers": 20,
    "num_classes": 2,
    "image_shape": [3, 32, 48],
    "best_epoch": 0,
    "best_params": "image-classification-0001.params",
    "selected_by": "accuracy",
    "base_model": {"channel": "model", "sha256": "ab"},
    "epochs": [EPOCH],
    "checks": [{"name": "overfit", "fired": True, "epoch": 0, "message": "too well"}],
}


def saved(folder: Path, content: Any) -> Path:
    path = folder / "training.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def archive_with(path: Path, **members: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_all_that_it_says(tmp_path: Path) -> None:
    record = read_training_record(saved(tmp_path, CONTENT))
    assert (record.image_shape, record.num_layers, record.base_channel) == ((3, 32, 48), 20, "model")
    assert record.epochs[0].validation == {"accuracy": 0.25}
    assert record.checks[0].message == "too well"
    assert read_training_record(saved(tmp_path, {**CONTENT, "base_model": None})).base_channel is None


def test_values_that_are_not_finite_are_missing(tmp_path: Path) -> None:
    epoch = {**EPOCH, "train": {"accuracy": float("nan"), "cross-entropy": float("inf"), "f1": None}}
    record = read_training_record(saved(tmp_path, {**CONTENT, "epochs": [epoch]}))
    assert record.epochs[0].train == {"accuracy": None, "cross-entropy": None, "f1": None}


def test_archives_with_and_without(tmp_path: Path) -> None:
    found = training_record_of(archive_with(tmp_path / "a.tar.gz", training_json=json.dumps(CONTENT)))
    assert found is not None
    assert found.hyperparameters == {"epochs": "1"}
    assert training_record_of(archive_with(tmp_path / "b.tar.gz", other_json="{}")) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ([], "malformed"),
        ("null", "malformed"),
        ({**CONTENT, "schema_version": 2}, "schema_version must be 1, got 2"),
        ({name: value for name, value in CONTENT.items() if name != "best_params"}, "no field 'best_params'"),
        ({**CONTENT, "best_epoch": 4}, "best_epoch 4 is not among epochs"),
        ({**CONTENT, "epochs": {}}, "best_epoch 0 is not among epochs"),
        ({**CONTENT, "epochs": [{**EPOCH, "train": [1]}]}, "malformed"),
        ({**CONTENT, "epochs": [{**EPOCH, "train": {"accuracy": "x"}}]}, "malformed"),
        ({**CONTENT, "image_shape": [3, 32]}, "malformed"),
        ({**CONTENT, "hyperparameters": []}, "malformed"),
        ({**CONTENT, "base_model": "model"}, "malformed"),
        ({**CONTENT, "checks": [{"name": "overfit", "fired": "no", "epoch": None, "message": ""}]}, "must be true or"),
    ],
)
def test_malformed(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(ContainerError, match=reason) as caught:
        read_training_record(saved(tmp_path, content))
    assert "training.json" in str(caught.value)
    assert "\n" not in str(caught.value)
