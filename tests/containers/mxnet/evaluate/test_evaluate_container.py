"""The evaluate container end to end: exact counts, its two files, one line for each failure."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from known_model import SIDE, Job, dataset, flat_png

from evaluate.metrics import score
from evaluate.mistakes import Mistake
from evaluate.predict import Predictions
from evaluate.report import render

MakeJob = Callable[..., Job]
RED, BLUE = (220, 10, 10), (10, 10, 220)
NAMES = ("<b>red</b> & co", "blue")
WEIGHTS = [(0.02, 0, 0), (0, 0, 0.02)]
VOID = {"meta", "img", "br", "path", "rect", "polyline"}


def run_container(job: Job, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evaluate", *arguments]
    environment = {**os.environ, "ML_ROOT": str(job.root)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


class Checker(HTMLParser):
    """Collects what a browser would fetch or run, and checks that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href", "action", "data"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


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
    assert sorted(path.name for path in job.outputs.iterdir()) == ["evaluation.json", "report.html"]


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
        reason = "not a whole gzip-compressed tar archive"
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


def mistake(name: str) -> Mistake:
    uri = "data:image/png;base64,AAAA"
    return Mistake(data_uri=uri, path=name, truth=name, predicted=name, confidence=0.9, chance=0.1, side=SIDE)


@pytest.mark.parametrize("classes", [2, 3, 15, 16, 133])
def test_report_of_any_class_count(classes: int) -> None:
    generator = np.random.default_rng(classes)
    count = classes * 3
    labels = np.arange(count) % classes
    probabilities = generator.dirichlet(np.ones(classes), count) * 0.4 + np.eye(classes)[labels] * 0.6
    probabilities[:2] = probabilities[:2, ::-1]
    names = [f'"><script>{index}</script>' for index in range(classes)]
    scores = score(labels, probabilities, classes=names, top_k=5)
    predictions = Predictions(labels=labels, probabilities=probabilities)
    page = render(predictions, scores, [mistake(names[0])], dataset(names, test=count))
    checker = checked(page)
    assert "script" not in checker.tags
    assert page == render(predictions, scores, [mistake(names[0])], dataset(names, test=count))
    assert page.count("&lt;script&gt;") > classes


def test_report_of_a_perfect_run_and_of_a_single_occurring_class() -> None:
    for labels in (np.array([0, 1]), np.array([1, 1])):
        probabilities = np.eye(2)[labels] * 0.8 + 0.1
        scores = score(labels, probabilities, classes=["a", "b"], top_k=5)
        page = render(Predictions(labels=labels, probabilities=probabilities), scores, [], dataset(["a", "b"], test=2))
        assert "every test image was classified correctly" in page
        checked(page)
    assert "only one class occurs" in page
