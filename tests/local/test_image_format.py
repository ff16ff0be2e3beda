"""The image format, packed by the command line, is what the trainer reads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from end_to_end import REPOSITORY, CommandLine


@pytest.mark.slow
def test_a_packed_folder_of_images_and_lists_trains(
    imgpipe: CommandLine, digits: Path, mxnet_python: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    done = imgpipe("pack", str(digits), str(packed), "--output", "image", "--resize", "32", "--format", "png")
    assert done.returncode == 0, done.stderr
    counts = json.loads((packed / "dataset.json").read_text())["counts"]
    root = tmp_path / "ml"
    (root / "input").mkdir(parents=True)
    (root / "input" / "data").symlink_to(packed)
    names = ("train", "train_lst", "validation", "validation_lst")
    channels = {name: {"ContentType": "application/x-image", "TrainingInputMode": "FastFile"} for name in names}
    hyperparameters = {
        "num_classes": "10",
        "num_training_samples": str(counts["train"]),
        "image_shape": "3,32,32",
        "num_layers": "20",
        "epochs": "3",
        "mini_batch_size": "16",
        "learning_rate": "0.05",
    }
    (root / "input" / "config").mkdir()
    for name, content in {"hyperparameters": hyperparameters, "inputdataconfig": channels}.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
    environment = os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(REPOSITORY / "processing")}
    command = [str(mxnet_python), "-m", "train", "train"]
    trained = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert trained.returncode == 0, trained.stderr
    epochs = json.loads((root / "model" / "training.json").read_text())["epochs"]
    assert epochs[-1]["train"]["accuracy"] > 0.6
    assert epochs[-1]["train"]["cross-entropy"] < epochs[0]["train"]["cross-entropy"]
