"""What training is for, on real handwritten digits: going on, transferring, and several hosts as good as one."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits
from small_images import png, write_records

from train import job

pytestmark = pytest.mark.slow
PROGRAM = Path(job.__file__).parents[1]
SIDE = 32
CHANNELS = ("train", "validation")


def pictures(classes: Sequence[int], counts: tuple[int, int]) -> dict[str, list[tuple[float, bytes]]]:
    """Records of both channels, `counts` in all, labelled by the position of the digit in `classes`."""
    digits = load_digits()
    chosen = [
        index for index in np.random.default_rng(0).permutation(len(digits.target)) if digits.target[index] in classes
    ]
    records = []
    for index in chosen[: sum(counts)]:
        grey = cv2.resize(digits.images[index] * (255 / 16), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        records.append((float(classes.index(digits.target[index])), png(pixels)))
    return {"train": records[: counts[0]], "validation": records[counts[0] :]}


def lay_out(root: Path, records: Mapping[str, list[tuple[float, bytes]]], **hyperparameters: object) -> None:
    for channel in CHANNELS:
        write_records(root / "input/data" / channel / f"{channel}.rec", records[channel])
    given = {
        "num_classes": len({label for label, _ in records["train"]}),
        "num_training_samples": len(records["train"]),
        "num_layers": 20,
        "image_shape": f"3,{SIDE},{SIDE}",
        "mini_batch_size": 32,
        "learning_rate": 0.05,
    } | hyperparameters
    config = root / "input/config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps({name: str(value) for name, value in given.items()}))


def train(*roots: Path) -> None:
    """Run a job, on as many hosts as there are roots; a host's output is shown when it fails."""
    names = [f"127.0.0.{number + 1}" for number in range(len(roots))]
    processes = []
    for root, name in zip(roots, names, strict=True):
        content = {"current_host": name, "hosts": names}
        (root / "input/config/resourceconfig.json").write_text(json.dumps(content))
        environment = {
            "ML_ROOT": str(root),
            "PYTHONPATH": str(PROGRAM),
            "TRAINING_JOB_NAME": str(roots[0]),
            "OMP_NUM_THREADS": str(max(1, 2 // len(roots))),
        }
        command = [sys.executable, "-m", "train", "train"]
        processes.append(subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL))
    try:
        assert [process.wait(timeout=300) for process in processes] == [0] * len(roots)
    finally:
        for process in processes:
            process.kill()


def accuracies(root: Path) -> list[float]:
    """Of the validation channel, by epoch."""
    content: dict[str, Any] = json.loads((root / "model/training.json").read_text())
    return [epoch["validation"]["accuracy"] for epoch in content["epochs"]]


def hand_on(model: Path, channel: Path) -> None:
    channel.mkdir(parents=True)
    with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
        for path in sorted(model.iterdir()):
            archive.add(path, path.name)


def test_a_retrained_model_starts_above_the_end_of_the_scratch_model(tmp_path: Path) -> None:
    records = pictures(range(10), (800, 300))
    lay_out(tmp_path / "scratch", records, epochs=2)
    train(tmp_path / "scratch")
    lay_out(tmp_path / "again", records, epochs=1, learning_rate=0.01)
    hand_on(tmp_path / "scratch/model", tmp_path / "again/input/data/model")
    train(tmp_path / "again")
    assert accuracies(tmp_path / "again")[0] > accuracies(tmp_path / "scratch")[-1]


def test_weights_of_other_classes_beat_a_start_from_scratch(tmp_path: Path) -> None:
    lay_out(tmp_path / "base", pictures(range(5), (600, 100)), epochs=4)
    train(tmp_path / "base")
    others = pictures(range(5, 10), (100, 300))
    lay_out(tmp_path / "scratch", others, epochs=4, mini_batch_size=20)
    train(tmp_path / "scratch")
    lay_out(tmp_path / "transferred", others, epochs=4, mini_batch_size=20, use_pretrained_model=1)
    hand_on(tmp_path / "base/model", tmp_path / "transferred/input/data/pretrained")
    train(tmp_path / "transferred")
    assert max(accuracies(tmp_path / "transferred")) > max(accuracies(tmp_path / "scratch")) + 0.05


def test_two_hosts_are_as_good_as_one(tmp_path: Path) -> None:
    records = pictures(range(10), (960, 300))
    settled = {"epochs": 5, "learning_rate": 0.03, "lr_scheduler_step": "3,4"}
    lay_out(tmp_path / "one", records, **settled)
    train(tmp_path / "one")
    hosts = [tmp_path / "algo-1", tmp_path / "algo-2"]
    for host in hosts:
        lay_out(host, records, **settled, mini_batch_size=16, kv_store="dist_sync")
    train(*hosts)
    one, two = max(accuracies(tmp_path / "one")), max(accuracies(hosts[0]))
    assert min(one, two) > 0.93
    assert abs(one - two) < 0.03
    assert not any((hosts[1] / "model").glob("*"))
