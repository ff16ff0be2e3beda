"""Images with several labels each, from a list through the whole pipeline of an environment of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from end_to_end import REPOSITORY, CommandLine

SQUARES = {"red": ((30, 40, 220), (2, 2)), "green": ((60, 200, 40), (20, 4)), "blue": ((210, 60, 30), (10, 22))}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """240 pictures on grey, each with none to three coloured squares, one label for each colour."""
    random, folder, rows = np.random.default_rng(0), tmp_path / "labelled", []
    (folder / "images").mkdir(parents=True)
    for number in range(240):
        labels = (random.random(len(SQUARES)) < 0.4).astype(int).tolist()
        picture = np.full((40, 40, 3), 110.0)
        for shown, (colour, (top, left)) in zip(labels, SQUARES.values(), strict=True):
            if shown:
                picture[top : top + 14, left : left + 14] = colour
        noisy = np.clip(picture + random.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number:03d}.png"), noisy)
        rows.append("\t".join([str(number), *map(str, labels), f"images/{number:03d}.png"]))
    (folder / "all.lst").write_text("\n".join(rows) + "\n")
    (folder / "labels.json").write_text(json.dumps(list(SQUARES)))
    return folder


@pytest.fixture
def several(imgpipe: CommandLine, tmp_path: Path) -> CommandLine:
    """The command line on a copy of the project with an environment `labels`."""
    root = tmp_path / "project"
    for name in ("infra", "pipeline_def", "processing", "functions", "environments", "scripts", ".make/layers"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for name in ("app.py", "cdk.json"):
        shutil.copyfile(REPOSITORY / name, root / name)
    settings = yaml.safe_load((root / "environments" / "dev.yaml").read_text())
    settings["pipeline"]["train"]["hyperparameters"] |= {"multi_label": 1, "use_weighted_loss": 1}
    settings["pipeline"]["evaluate"] = {"gates": {"macro_f1": 0.7, "accuracy": 0.8}}
    (root / "environments" / "labels.yaml").write_text(yaml.safe_dump(settings))
    return replace(imgpipe, root=root, environ=imgpipe.environ | {"PYTHONPATH": str(root)})


@pytest.mark.slow
def test_several_labels_are_learnt_gated_and_registered(several: CommandLine, labelled: Path) -> None:
    changed = {"ImageSize": "32", "Epochs": "8", "LrSchedulerStep": "6", "LearningRate": "0.02", "MiniBatchSize": "16"}
    options = [text for item in changed.items() for text in ("--param", "=".join(item))]
    done = several("run", "--env", "labels", "--data", str(labelled), *options)
    assert done.returncode == 0, done.stderr
    summary = several.summary()
    assert [(gate["metric"], gate["passed"]) for gate in summary["gates"]][:2] == [
        ("accuracy", True),
        ("macro_f1", True),
    ]
    assert summary["dataset"]["classes"] == list(SQUARES)
    assert summary["metrics"]["subset_accuracy"] > 0.6
