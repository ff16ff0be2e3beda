"""The report: any number of classes, every verdict, hostile names, and nothing that a browser would fetch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_model import SIDE, dataset, training_content
from page import checked

from common.training_record import TrainingRecord, read_training_record
from evaluate.champion import Champion
from evaluate.comparison import compare
from evaluate.findings import Findings, find
from evaluate.mistakes import Mistake
from evaluate.predict import Predictions
from evaluate.report import render
from evaluate.trials import Trial, Trials

HOSTILE = '"><script>{}</script>'
NO_CHAMPION = Champion(version=None, comparison=None, reason="none", metric="accuracy")


def mistake(name: str) -> Mistake:
    uri = "data:image/png;base64,AAAA"
    return Mistake(data_uri=uri, path=name, truth=name, predicted=name, confidence=0.9, chance=0.1, side=SIDE)


def random_predictions(classes: int) -> Predictions:
    generator = np.random.default_rng(classes)
    count = classes * 3
    labels = np.arange(count) % classes
    probabilities = generator.dirichlet(np.ones(classes), count) * 0.4 + np.eye(classes)[labels] * 0.6
    probabilities[:2] = probabilities[:2, ::-1]
    return Predictions(labels=labels, probabilities=probabilities)


def findings(predictions: Predictions, names: list[str] | None = None, **more: Any) -> Findings:
    names = names or [f"class {index}" for index in range(predictions.probabilities.shape[1])]
    described = dataset(names, test=len(predictions.labels))
    given = {"champion": NO_CHAMPION, "training": None, "trials": None, **more}
    return find(predictions, described, top_k=5, precision=0.95, **given)


def contest(only_champion: int, only_challenger: int, count: int = 400) -> Champion:
    right = np.ones((2, count), bool)
    right[1, :only_champion] = False
    right[0, only_champion : only_champion + only_challenger] = False
    return Champion(version=7, comparison=compare(right[0], right[1]), reason=None, metric="accuracy")


def hostile_training(folder: Path) -> TrainingRecord:
    content = training_content()
    content["hyperparameters"] = {HOSTILE.format("name"): HOSTILE.format("value")}
    content["checks"][1] |= {"name": HOSTILE.format("check"), "message": HOSTILE.format("message")}
    (folder / "training.json").write_text(json.dumps({**content, "selected_by": HOSTILE.format("metric")}))
    return read_training_record(folder / "training.json")


def hostile_trials() -> Trials:
    names = [HOSTILE.format(index) for index in range(9)]
    trials = [
        Trial(
            name=name, status=name, value=index / 9, seconds=1.0, hyperparameters={names[0]: name, names[1]: str(index)}
        )
        for index, name in enumerate(names)
    ]
    return Trials(
        tuning_job=names[0], strategy=names[0], objective=names[0], maximize=True, best=names[8], trials=trials[::-1]
    )


@pytest.mark.parametrize("classes", [2, 3, 15, 16, 133])
def test_any_class_count_with_hostile_names(classes: int, tmp_path: Path) -> None:
    names = [HOSTILE.format(index) for index in range(classes)]
    found = findings(
        random_predictions(classes),
        names,
        champion=contest(3, 3),
        training=hostile_training(tmp_path),
        trials=hostile_trials(),
    )
    page = render(found, [mistake(names[0])])
    assert "script" not in checked(page).tags
    assert page == render(found, [mistake(names[0])])
    assert page.count("&lt;script&gt;") > classes


def test_hostile_names_of_several_labels(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 1], [1, 0, 0]])
    predictions = Predictions(labels=labels, probabilities=labels * 0.8 + 0.1)
    champion = Champion(version=2, comparison=None, reason=HOSTILE.format("reason"), metric="subset_accuracy")
    names = [HOSTILE.format(index) for index in range(3)]
    page = render(findings(predictions, names, champion=champion, training=hostile_training(tmp_path)), [])
    assert "script" not in checked(page).tags
    assert "Not compared: &#34;&gt;&lt;script&gt;reason" in page


def test_a_perfect_run_and_a_single_occurring_class() -> None:
    for labels in (np.array([0, 1]), np.array([1, 1])):
        page = render(findings(Predictions(labels=labels, probabilities=np.eye(2)[labels] * 0.8 + 0.1)), [])
        assert "every test image was classified correctly" in page
        checked(page)
    assert "only one class occurs" in page


@pytest.mark.parametrize(
    ("champion", "words"),
    [
        (contest(0, 0), ["No difference."]),
        (contest(2, 40), ["This model wins.", "+9.5 percentage", "&lt; 0.001"]),
        (contest(40, 2), ["Version 7 wins.", "\N{MINUS SIGN}9.5 percentage"]),
        (contest(5, 6), ["No clear winner.", "can be noise"]),
        (NO_CHAMPION, ["There is no approved version yet"]),
    ],
)
def test_verdicts(champion: Champion, words: list[str]) -> None:
    page = render(findings(random_predictions(3), champion=champion), [])
    checked(page)
    assert [word for word in words if word not in page] == []


def test_thresholds_that_there_are_none_of() -> None:
    page = render(findings(random_predictions(3)), [])
    assert "For all classes together there is no such confidence." in page
    assert page.count('<td class="n soft">none</td>') == 3


def test_training_of_one_epoch(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps(training_content(epochs=1, best=0)))
    page = render(findings(random_predictions(2), training=read_training_record(tmp_path / "training.json")), [])
    checked(page)
    assert "best: epoch 0" in page
    assert "the validation loss rises from epoch 2 on" in page


def test_trials_without_any_value() -> None:
    trial = Trial(name="t", status="Failed", value=None, seconds=None, hyperparameters={"x": "1"})
    trials = Trials(tuning_job="j", strategy="Random", objective="o", maximize=True, best="", trials=[trial])
    for tuned in (trials, Trials(**{**vars(trials), "trials": []})):
        checked(render(findings(random_predictions(2), trials=tuned), []))
