"""The Join program: every listed image gets a line, with its prediction or with the reason why there is none."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.contract import ContainerError
from join.answers import Answers
from join.model import Model
from join.plan import read_plan
from join.predictions import write_predictions

LABELS = ["ant", "bee", "cat"]
URI = "s3://data/batch/main/"
MakeRoot = Callable[..., Path]


@pytest.fixture
def make_root(tmp_path: Path) -> MakeRoot:
    """A job's root with its inputs; `answers` maps a path without .out to what is stored there."""

    def make(
        images: dict[str, str | None],
        answers: dict[str, Any],
        *,
        thresholds: dict[str, Any] | None = None,
        multi_label: bool = False,
    ) -> Path:
        inputs = tmp_path / "processing" / "input"
        for name in ("plan", "answers", "model", "labels"):
            (inputs / name).mkdir(parents=True)
        plan = {
            "schema_version": 1,
            "input_uri": URI,
            "listing_hash": "ab" * 32,
            "model_version": "3",
            "model_package_arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/3",
        }
        (inputs / "plan" / "plan.json").write_text(json.dumps(plan))
        lines = [json.dumps({"key": key, "size": 7, "skipped": skipped}) + "\n" for key, skipped in images.items()]
        (inputs / "plan" / "listing.jsonl").write_text("".join(lines))
        facts = {
            "classes": len(LABELS),
            "multi_label": multi_label,
            "thresholds": thresholds or {"overall": None, "per_class": [None] * len(LABELS)},
        }
        (inputs / "model" / "model.json").write_text(json.dumps(facts))
        (inputs / "labels" / "labels.json").write_text(json.dumps(LABELS))
        for path, content in answers.items():
            file = inputs / "answers" / f"{path}.out"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return make


def _join(root: Path, *, top_k: int = 2) -> dict[str, Any]:
    inputs = root / "processing" / "input"
    plan = read_plan(inputs / "plan")
    return write_predictions(
        plan,
        Answers.below(inputs / "answers", plan),
        Model.read(inputs / "model", inputs / "labels"),
        destination=_output(root),
        top_k=top_k,
    )


def _output(root: Path) -> Path:
    return root / "processing" / "output" / "predictions"


def _lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_output(root) / "predictions.jsonl").read_text().splitlines()]


def _table(root: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with (_output(root) / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_images_and_answers_meet_by_their_keys(make_root: MakeRoot) -> None:
    images = {"a.jpg": None, "deep/er/a.jpg": None, "b.jpg": None}
    answers = {"a.jpg": [0.7, 0.2, 0.1], "deep/er/a.jpg": [0.1, 0.1, 0.8], "b.jpg": [0.2, 0.7, 0.1]}
    root = make_root(images, answers)
    summary = _join(root)
    assert [(row["key"], row["label"], row["probability"]) for row in _table(root)] == [
        ("a.jpg", "ant", "0.7"),
        ("deep/er/a.jpg", "cat", "0.8"),
        ("b.jpg", "bee", "0.7"),
    ]
    assert _lines(root)[1] == {
        "key": "deep/er/a.jpg",
        "uri": f"{URI}deep/er/a.jpg",
        "label": "cat",
        "probability": 0.8,
        "threshold": None,
        "accepted": None,
        "ranked": [{"label": "cat", "probability": 0.8}, {"label": "ant", "probability": 0.1}],
    }
    assert summary == {
        "schema_version": 1,
        "input_uri": URI,
        "listing_hash": "ab" * 32,
        "model_version": "3",
        "model_package_arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/3",
        "images": 3,
        "classified": 3,
        "accepted": None,
        "failed": 0,
        "labels": {"ant": 1, "cat": 1, "bee": 1},
        "failures": {},
        "stray_answers": {"count": 0, "first": []},
    }
    assert json.loads((_output(root) / "transform.json").read_text()) == summary


def test_what_was_not_classified_is_named_with_its_reason(make_root: MakeRoot) -> None:
    images = {
        "good.jpg": None,
        "text.jpg": None,
        "gone.jpg": None,
        "none.jpg": "empty",
        "odd.jpg": None,
        "no.jpg": None,
    }
    refused = {"error": {"code": "not_an_image", "message": "the body is\nno image"}}
    answers = {"good.jpg": [0.7, 0.2, 0.1], "text.jpg": refused, "odd.jpg": [0.5, 0.5], "no.jpg": "<html>"}
    root = make_root(images, answers)
    summary = _join(root)
    assert [tuple(row.values()) for row in _table(root, "failures.csv")] == [
        ("text.jpg", "not_an_image", "the body is no image"),
        ("gone.jpg", "no_answer", "the transform job stored no answer, see its log"),
        ("none.jpg", "empty", "the object has no bytes (7 bytes)"),
        ("odd.jpg", "malformed_answer", "the stored answer is no list of 3 probabilities"),
        ("no.jpg", "malformed_answer", "the stored answer is no JSON"),
    ]
    assert [line["key"] for line in _lines(root)] == list(images)
    assert _lines(root)[1]["error"] == {"code": "not_an_image", "message": "the body is no image"}
    assert (summary["images"], summary["classified"], summary["failed"]) == (6, 1, 5)
    assert summary["failures"]["malformed_answer"] == 2


def test_thresholds_of_the_class_before_that_of_all(make_root: MakeRoot) -> None:
    thresholds = {"overall": 0.6, "per_class": [0.8, None, None]}
    answers = {"a": [0.7, 0.2, 0.1], "b": [0.2, 0.6, 0.2], "c": [0.3, 0.2, 0.5], "d": [0.8, 0.1, 0.1]}
    root = make_root(dict.fromkeys(answers), answers, thresholds=thresholds)
    assert _join(root)["accepted"] == 2
    assert [(row["threshold"], row["accepted"]) for row in _table(root)] == [
        ("0.8", "false"),
        ("0.6", "true"),
        ("0.6", "false"),
        ("0.8", "true"),
    ]


def test_several_labels(make_root: MakeRoot) -> None:
    thresholds = {"overall": None, "per_class": [0.9, None, None]}
    root = make_root({"a": None}, {"a": [0.85, 0.5, 0.2]}, thresholds=thresholds, multi_label=True)
    assert _join(root)["labels"] == {"bee": 1}
    assert _table(root)[0]["labels"] == "bee"
    assert _lines(root)[0]["labels"] == ["bee"]


@pytest.mark.parametrize("leading", ["", "main/", "batch/main/", "data/batch/main/"])
def test_answers_may_lie_below_parts_of_the_inputs_prefix(make_root: MakeRoot, leading: str) -> None:
    answers = {f"{leading}a.jpg": [1, 0, 0], f"{leading}main/a.jpg": [0, 1, 0]}
    root = make_root({"a.jpg": None, "main/a.jpg": None}, answers)
    _join(root)
    assert [row["label"] for row in _table(root)] == ["ant", "bee"]


@pytest.mark.parametrize("root_image", [{}, {"top.jpg": None}])
def test_answers_may_lie_in_no_folder_where_file_names_tell_images_apart(
    make_root: MakeRoot, root_image: dict[str, None]
) -> None:
    images = {"x/a.jpg": None, "y/b.jpg": None, "y/empty/a.jpg": "empty", "y/gone.jpg": None, **root_image}
    answers = {"a.jpg": [1, 0, 0], "b.jpg": [0, 1, 0], **{key: [0, 0, 1] for key in root_image}}
    root = make_root(images, answers)
    summary = _join(root)
    assert [(row["key"], row["label"]) for row in _table(root)] == [
        ("x/a.jpg", "ant"),
        ("y/b.jpg", "bee"),
        *((key, "cat") for key in root_image),
    ]
    assert summary["failures"] == {"empty": 1, "no_answer": 1}
    assert summary["stray_answers"]["count"] == 0


def test_an_answer_in_no_folder_that_belongs_to_no_image_is_reported(make_root: MakeRoot) -> None:
    summary = _join(make_root({"x/a.jpg": None}, {"a.jpg": [1, 0, 0], "z.jpg": [1, 0, 0]}))
    assert summary["classified"] == 1
    assert summary["stray_answers"] == {"count": 1, "first": ["z.jpg.out"]}


def test_answers_in_no_folder_are_refused_where_images_share_a_file_name(make_root: MakeRoot) -> None:
    root = make_root({"x/a.jpg": None, "y/a.jpg": None, "y/b.jpg": None}, {"a.jpg": [1, 0, 0], "b.jpg": [0, 1, 0]})
    with pytest.raises(ContainerError, match=r"answer a.jpg.out belongs to no image of s3://data/batch/main/"):
        _join(root)


def test_a_file_name_is_no_answer_where_others_lie_in_folders(make_root: MakeRoot) -> None:
    answers = {"x/a.jpg": [1, 0, 0], "b.jpg": [0, 1, 0]}
    summary = _join(make_root({"x/a.jpg": None, "y/b.jpg": None}, answers))
    assert (summary["classified"], summary["failures"]) == (1, {"no_answer": 1})
    assert summary["stray_answers"]["first"] == ["b.jpg.out"]


@pytest.mark.parametrize("leading", ["", "main/"])
def test_an_answer_of_no_image_is_reported(make_root: MakeRoot, leading: str) -> None:
    answers = {f"{leading}a.jpg": [1, 0, 0], f"{leading}z.jpg": [1, 0, 0]}
    summary = _join(make_root({"a.jpg": None, "b.jpg": None}, answers))
    assert (summary["classified"], summary["failures"]) == (1, {"no_answer": 1})
    assert summary["stray_answers"] == {"count": 1, "first": [f"{leading}z.jpg.out"]}


def test_keys_that_a_spreadsheet_would_run_are_text_in_the_tables(make_root: MakeRoot) -> None:
    keys = ["=cmd.jpg", "+1.jpg", "-1.jpg", "@2x.jpg", "a=b.jpg"]
    root = make_root({**dict.fromkeys(keys), "=no.jpg": "empty"}, {key: [0, 1, 0] for key in keys})
    _join(root)
    assert [row["key"] for row in _table(root)] == ["'=cmd.jpg", "'+1.jpg", "'-1.jpg", "'@2x.jpg", "a=b.jpg"]
    assert [row["key"] for row in _table(root, "failures.csv")] == ["'=no.jpg"]
    assert [line["key"] for line in _lines(root)] == [*keys, "=no.jpg"]


def test_answers_of_another_job_are_refused(make_root: MakeRoot) -> None:
    root = make_root({"a.jpg": None}, {"y.jpg": [1, 0, 0], "z.jpg": [1, 0, 0]})
    with pytest.raises(ContainerError, match=r"answer y.jpg.out belongs to no image of s3://data/batch/main/"):
        _join(root)


def test_labels_of_another_model_are_refused(make_root: MakeRoot) -> None:
    root = make_root({"a": None}, {"a": [1, 0, 0]})
    (root / "processing" / "input" / "labels" / "labels.json").write_text('["ant"]')
    with pytest.raises(ContainerError, match=r"model.json has 3 classes, labels.json names 1"):
        _join(root)


def test_the_program_fails_in_one_line_where_nothing_was_classified(make_root: MakeRoot) -> None:
    refused = {"error": {"code": "not_an_image", "message": "no image"}}
    root = make_root({"a": None, "b": None}, {"a": refused, "b": refused})
    done = subprocess.run(
        [sys.executable, "-m", "join", "--top-k", "3"],
        env={**os.environ, "ML_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    message = (root / "output" / "message").read_text()
    assert done.returncode == 1
    assert message == (
        f"none of 2 images below {URI} was classified, the first: a: no image: is it a folder of images?"
    )
    assert not list(_output(root).iterdir())
