"""Images of several classes: scores by hand and against scikit-learn, and the container from records to report."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from known_model import Job, dataset, flat_png, save_model, save_records
from sklearn.metrics import average_precision_score, f1_score, log_loss

from common.contract import ContainerError
from evaluate.model import load_model
from evaluate.multi_label import LabelScores, score_labels
from evaluate.predict import Predictions, predict

RED, BLUE, PURPLE, GREEN = (240, 0, 0), (0, 0, 240), (240, 0, 240), (0, 240, 0)
CLASSES = ["red", "blue"]
# a channel above 120 makes the answer yes
WEIGHTS, BIAS = [(0.05, 0, 0), (0, 0, 0.05)], -6.0


def scored(labels: list[list[int]], rows: list[list[float]], *, top_k: int = 1) -> LabelScores:
    predictions = Predictions(labels=np.array(labels, np.int64), probabilities=np.array(rows))
    return score_labels(predictions, classes=[f"c{index}" for index in range(len(rows[0]))], top_k=top_k)


def test_scores_by_hand() -> None:
    found = scored([[1, 0], [1, 1], [0, 0], [0, 1]], [[0.9, 0.2], [0.6, 0.4], [0.7, 0.1], [0.2, 0.8]])
    values = found.values
    # answers: yes no | yes no | yes no | no yes: wrong on the second's second and the third's first
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["subset_accuracy"] == pytest.approx(2 / 4)
    assert values["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert values["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (2 + 1)) / 2)
    assert values["worst_class_recall"] == pytest.approx(1 / 2)
    assert values["top_k_accuracy"] == 1.0
    # by falling probability c0: right, wrong, right; c1: right, right
    assert values["mean_average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    chances = (0.9, 0.8, 0.6, 0.4, 0.3, 0.9, 0.8, 0.8)
    assert values["log_loss"] == pytest.approx(-sum(map(math.log, chances)) / 8)
    assert values["mse"] == pytest.approx(sum((1 - chance) ** 2 for chance in chances) / 8)
    assert [(entry.support, entry.predicted, entry.accuracy) for entry in found.per_class] == [
        (2, 3, 0.75),
        (2, 1, 0.75),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, rows = (generator.random((60, 4)) < 0.4).astype(int), generator.random((60, 4))
    values = scored(labels.tolist(), rows.tolist()).values
    for average in ("micro", "macro", "weighted"):
        assert values[f"{average}_f1"] == pytest.approx(f1_score(labels, rows >= 0.5, average=average))
    assert values["mean_average_precision"] == pytest.approx(average_precision_score(labels, rows, average="macro"))
    assert values["log_loss"] == pytest.approx(log_loss(labels.ravel(), rows.ravel()))


def test_classes_that_do_not_occur() -> None:
    found = scored([[1, 0, 0], [1, 0, 0]], [[0.9, 0.2, 0.8], [0.9, 0.1, 0.2]])
    assert found.values["macro_f1"] == 1.0
    assert found.values["roc_auc"] is None
    absent = found.per_class[1]
    assert (absent.precision, absent.recall, absent.f1, absent.average_precision) == (None, None, None, None)
    assert found.per_class[2].precision == 0.0
    nothing = scored([[0, 0]], [[0.1, 0.2]]).values
    assert (nothing["macro_f1"], nothing["worst_class_recall"], nothing["top_k_accuracy"]) == (0.0, 0.0, 0.0)
    assert nothing["mean_average_precision"] is None


ROWS = [((1, 0), RED), ((0, 1), BLUE), ((1, 1), PURPLE), ((0, 0), GREEN), ((1, 1), RED)] * 9
MakeJob = Callable[..., Job]


def test_end_to_end(make_evaluation: MakeJob) -> None:
    rows = [(labels, flat_png(colour)) for labels, colour in ROWS]
    job = make_evaluation(rows, CLASSES, WEIGHTS, bias=BIAS, multi_label=True)
    champion = job.inputs / "champion"
    champion.mkdir()
    (champion / "labels.json").write_text(json.dumps(CLASSES))
    save_model(champion / "model.tar.gz", [(0.05, 0, 0), (0, 0, 0)], bias=BIAS, multi_label=True)
    command = [sys.executable, "-m", "evaluate", "--champion-version", "2"]
    environment = {**os.environ, "ML_ROOT": str(job.root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    content = job.evaluation()
    assert content["multi_label"] is True
    values = {name: entry["value"] for name, entry in content["metrics"].items()}
    assert values["subset_accuracy"] == pytest.approx(0.8)
    assert values["accuracy"] == pytest.approx(0.9)
    assert values["micro_f1"] == pytest.approx(2 * 45 / (54 + 45))
    assert [entry["recall"] for entry in content["per_class"]] == pytest.approx([1, 2 / 3])
    # the champion never says blue: it is right on red and on green alone
    assert content["champion"]["metric"] == "subset_accuracy"
    assert content["champion"]["accuracy"] == pytest.approx(2 / 5)
    assert content["champion"]["difference"] == pytest.approx(2 / 5)
    assert content["thresholds"]["per_class"][1]["predicted"] == 18
    page = (job.outputs / "report.html").read_text()
    assert "with every class right" in page
    assert "Confusion matrix" not in page
    assert page.count("<figure>") == 9
    assert "✓ red, blue" in page


def test_records_with_one_label_need_a_softmax(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS, bias=BIAS, multi_label=True)
    model = load_model(path, dataset=dataset(CLASSES))
    with pytest.raises(ContainerError, match="it needs a softmax"):
        predict(model, save_records(tmp_path / "test.rec", [(0, flat_png(PURPLE))]), num_classes=2)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(1, 0), (1, 1)], "the model ends in SoftmaxOutput and chooses one class: train it with multi_label 1"),
        ([(1, 0, 1)], "records hold 3 labels; allowed are 1 each, the class, or 2, a 0 or 1 for each class"),
        ([(1, 0), 1], "records hold 1 and 2 labels"),
        ([(1, 2)], "label 2 is neither 0 nor 1"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, rows: list[tuple[int, ...] | int], reason: str) -> None:
    model = load_model(save_model(tmp_path / "model.tar.gz", WEIGHTS), dataset=dataset(CLASSES))
    records = save_records(tmp_path / "test.rec", [(labels, flat_png(RED)) for labels in rows])
    with pytest.raises(ContainerError, match=reason):
        predict(model, records, num_classes=2)
