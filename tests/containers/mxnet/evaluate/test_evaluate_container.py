"""The evaluate container end to end: exact counts, its three files, one line for each failure."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from known_model import Job, flat_png, save_model, training_content
from page import checked

from common.contract import ContainerError
from evaluate.__main__ import main

MakeJob = Callable[..., Job]
RED, BLUE = (220, 10, 10), (10, 10, 220)
NAMES = ("<b>red</b> & co", "blue")
WEIGHTS = [(0.02, 0, 0), (0, 0, 0.02)]


def run_container(job: Job, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evaluate", *arguments]
    environment = {**os.environ, "ML_ROOT": str(job.root)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_end_to_end_with_a_count_that_is_no_multiple_of_the_batch(make_evaluation: MakeJob) -> None:
    rows = [(0, flat_png(RED))] * 20 + [(1, flat_png(BLUE))] * 12 + [(1, flat_png(RED))] * 3 + [(0, flat_png(BLUE))] * 2
    job = make_evaluation(rows, NAMES, WEIGHTS)
    done = run_container(job, "--top-k", "5")
    assert done.returncode == 0, done.stderr
    content = json.loads((job.outputs / "evaluation.json").read_text())
    assert content["num_records"] == 37
    assert content["confusion_matrix"] == [[20, 2], [3, 12]]
    assert content["metrics"]["accuracy"]["value"] == pytest.approx(32 / 37)
    assert (content["top_k"], content["metrics"]["top_k_accuracy"]["value"]) == (2, 1.0)
    assert content["classes"] == list(NAMES)
    assert set(content["metrics"]) == {
        "accuracy",
        "top_k_accuracy",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "weighted_precision",
        "weighted_recall",
        "weighted_f1",
        "worst_class_recall",
        "mse",
        "log_loss",
        "roc_auc",
        "expected_calibration_error",
    }
    assert "accuracy=0.864865" in done.stdout
    page = (job.outputs / "report.html").read_text()
    checker = checked(page)
    assert page.count("<figure>") == 5
    assert "blue/32.png" in page
    assert "<b>red</b> & co" not in page
    assert "&lt;b&gt;red&lt;/b&gt; &amp; co" in page
    assert "script" not in checker.tags
    assert all(source.startswith("data:image/") for source in checker.sources)
    assert re.search(r"https?://|url\((?!#)|@import", page) is None
    assert sorted(path.name for path in job.outputs.iterdir()) == ["baseline.json", "evaluation.json", "report.html"]

    assert content["champion"]["reason"] == "there is no approved version to compare with"
    assert content["training"] is None
    assert "CloudWatch" in page
    assert "There is no approved version yet" in page


def add_champion(job: Job) -> None:
    """Put a package folder there whose model always says red."""
    folder = job.inputs / "champion"
    folder.mkdir()
    (folder / "labels.json").write_text(json.dumps(NAMES))
    save_model(folder / "model.tar.gz", [(0.02, 0, 0.02), (0, 0, 0)])


def add_trials(job: Job) -> None:
    trials = [
        {
            "name": f"<i>{number}",
            "status": "Completed",
            "value": number / 10,
            "seconds": 61,
            "hyperparameters": {"learning_rate": str(10.0**-number), "optimizer": "sgd" if number % 2 else "adam"},
        }
        for number in range(9)
    ]
    content = {
        "schema_version": 1,
        "tuning_job": "tune",
        "strategy": "Random",
        "objective": {"name": "validation:accuracy", "type": "Maximize"},
        "best": "<i>8",
        "trials": trials,
    }
    (job.inputs / "trials").mkdir()
    (job.inputs / "trials/trials.json").write_text(json.dumps(content))


def test_champion_trials_and_training(make_evaluation: MakeJob) -> None:
    rows = [(0, flat_png(RED)), (1, flat_png(BLUE))] * 20
    training = training_content(params="image-classification-0001.params")
    job = make_evaluation(rows, NAMES, WEIGHTS, training=training)
    add_champion(job)
    add_trials(job)
    arguments = ("--champion-version", "3", "--threshold-precision", "0.9")
    done = run_container(job, *arguments)
    assert done.returncode == 0, done.stderr
    assert "difference_to_champion=0.500000" in done.stdout
    content = job.evaluation()
    assert content["champion"]["version"] == 3
    assert content["champion"]["difference"] == 0.5
    assert content["champion"]["mcnemar"]["only_challenger_right"] == 20
    assert content["training"] == {"best_epoch": 1, "epochs": 3, "checks_fired": ["overfit"]}
    assert content["thresholds"]["precision"] == 0.9
    assert [entry["coverage"] for entry in content["thresholds"]["per_class"]] == [1.0, 1.0]
    assert len(content["calibration"]["bins"]) == 15
    page = (job.outputs / "report.html").read_text()
    checker = checked(page)
    assert "script" not in checker.tags
    assert "&lt;i&gt;8" in page
    assert "Against the approved model, version 3" in page
    assert "This model wins." in page
    assert "the validation loss rises from epoch 2 on" in page
    assert "What mattered" in page
    before = {path.name: path.read_bytes() for path in job.outputs.iterdir()}
    assert run_container(job, *arguments).returncode == 0
    assert before == {path.name: path.read_bytes() for path in job.outputs.iterdir()}


def test_a_damaged_champion_fails_nothing(make_evaluation: MakeJob) -> None:
    job = make_evaluation([(0, flat_png(RED)), (1, flat_png(BLUE))], NAMES, WEIGHTS)
    (job.inputs / "champion").mkdir()
    done = run_container(job, "--champion-version", "3")
    assert done.returncode == 0, done.stderr
    champion = job.evaluation()["champion"]
    assert (champion["comparable"], champion["worse_by"]) == (False, 0.0)
    assert "champion/labels.json does not exist" in champion["reason"]
    assert "Not compared: champion:" in (job.outputs / "report.html").read_text()


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("--champion-version", "0", "must be none or a version number from 1 on, got '0'"),
        ("--champion-version", "latest", "must be none or a version number"),
        ("--threshold-precision", "95", "must be a number from 0 to 1, got '95'"),
        ("--threshold-precision", "nan", "must be a number from 0 to 1"),
    ],
)
def test_arguments_that_are_none(monkeypatch: pytest.MonkeyPatch, argument: str, value: str, reason: str) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", argument, value])
    with pytest.raises(ContainerError, match=reason):
        main()


@pytest.mark.parametrize(
    ("place", "text", "reason"),
    [
        ("trials/trials.json", '{"schema_version": 1, "trials": []}', "trials.json is malformed: it has no field 'obj"),
        ("trials/other.json", "{}", "trials.json does not exist"),
        ("champion/champion.json", "3", "champion.json must be"),
        ("training.json", {"schema_version": 1, "epochs": 3}, "training.json in the model's archive is malformed"),
    ],
)
def test_inputs_of_another_shape(
    make_evaluation: MakeJob, monkeypatch: pytest.MonkeyPatch, place: str, text: Any, reason: str
) -> None:
    training = text if place == "training.json" else None
    job = make_evaluation([(0, flat_png(RED)), (1, flat_png(BLUE))], NAMES, WEIGHTS, training=training)
    if training is None:
        (job.inputs / place).parent.mkdir()
        (job.inputs / place).write_text(text)
    monkeypatch.setenv("ML_ROOT", str(job.root))
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    with pytest.raises(ContainerError, match=reason) as caught:
        main()
    assert "\n" not in str(caught.value)
    assert not job.outputs.exists()


@pytest.mark.parametrize("break_it", ["count", "model", "labels", "argument"])
def test_failures_are_one_line_and_leave_nothing(make_evaluation: MakeJob, break_it: str) -> None:
    job = make_evaluation([(0, flat_png(RED)), (1, flat_png(BLUE))], NAMES, WEIGHTS)
    arguments = []
    if break_it == "count":
        path = job.inputs / "dataset/dataset.json"
        path.write_text(path.read_text().replace('"test": 2', '"test": 3'))
        reason = "holds 2 records, dataset.json says 3"
    elif break_it == "model":
        (job.inputs / "model/model.tar.gz").write_bytes(b"junk")
        reason = "is no gzip archive"
    elif break_it == "labels":
        (job.inputs / "dataset/labels.json").write_text('["x", "y"]')
        reason = "name different classes"
    else:
        arguments, reason = ["--top-k", "0"], "--top-k"
    done = run_container(job, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = (job.root / "output/message").read_text()
    assert reason in message
    assert "\n" not in message
    assert not job.outputs.exists() or list(job.outputs.iterdir()) == []
