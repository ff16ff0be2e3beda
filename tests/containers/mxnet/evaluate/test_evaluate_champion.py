"""The champion: scored on the same records with a real model, or not comparable with the reason."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from known_model import SIDE, dataset, flat_png, save_model, save_records

from common.contract import ContainerError
from evaluate.champion import Champion, champion_block, contest
from evaluate.model import load_model
from evaluate.predict import Predictions, predict

RED, BLUE = (220, 10, 10), (10, 10, 220)
CLASSES = ["red", "blue"]
RIGHT = [(0.02, 0, 0), (0, 0, 0.02)]
WRONG = [(0, 0, 0.02), (0.02, 0, 0)]
FACTS = dataset(CLASSES, test=60)


def package(
    folder: Path, weights: list[tuple[float, ...]], *, classes: list[str] | None = None, side: int = SIDE
) -> Path:
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text(json.dumps(classes or CLASSES))
    save_model(folder / "model.tar.gz", weights, side=side)
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return save_records(tmp_path / "test.rec", [(0, flat_png(RED)), (1, flat_png(BLUE))] * 30)


@pytest.fixture
def challenge(tmp_path: Path, records: Path) -> Callable[..., Champion]:
    """Let a model that is right on every record challenge what lies in the folder ``champion``."""
    model = load_model(save_model(tmp_path / "own" / "model.tar.gz", RIGHT), dataset=FACTS)
    predictions = predict(model, records, num_classes=2)

    def against(version: int | None = 3, *, worse: bool = False) -> Champion:
        mine = Predictions(labels=predictions.labels, probabilities=np.roll(predictions.probabilities, worse, axis=1))
        return contest(tmp_path / "champion", mine, records, FACTS, version=version)

    return against


def test_the_same_model_is_not_worse(tmp_path: Path, challenge: Callable[..., Champion]) -> None:
    package(tmp_path / "champion", RIGHT)
    block = champion_block(challenge())
    assert (block["version"], block["comparable"], block["reason"]) == (3, True, None)
    assert (block["accuracy"], block["difference"], block["interval"], block["worse_by"]) == (1.0, 0.0, [0.0, 0.0], 0.0)
    assert block["mcnemar"] == {"only_champion_right": 0, "only_challenger_right": 0, "p_value": 1.0}


def test_a_much_worse_challenger_and_a_much_better_one(tmp_path: Path, challenge: Callable[..., Champion]) -> None:
    package(tmp_path / "champion", RIGHT)
    worse = champion_block(challenge(worse=True))
    assert (worse["difference"], worse["worse_by"]) == (-1.0, 1.0)
    assert worse["mcnemar"]["only_champion_right"] == 60
    better = package(tmp_path / "other", WRONG)
    (tmp_path / "champion").rename(tmp_path / "gone")
    better.rename(tmp_path / "champion")
    found = champion_block(challenge())
    assert (found["accuracy"], found["difference"], found["worse_by"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("marker", [None, '{"champion": null}'])
def test_no_champion(tmp_path: Path, challenge: Callable[..., Champion], marker: str | None) -> None:
    if marker:
        (tmp_path / "champion").mkdir()
        (tmp_path / "champion/champion.json").write_text(marker)
    found = challenge(None)
    assert not found.exists
    block = champion_block(found)
    assert block["reason"] == "there is no approved version to compare with"
    assert (block["version"], block["comparable"], block["accuracy"], block["worse_by"]) == (None, False, None, 0.0)


def test_a_champion_of_unknown_version_is_compared(tmp_path: Path, challenge: Callable[..., Champion]) -> None:
    package(tmp_path / "champion", RIGHT)
    assert champion_block(challenge(None))["comparable"] is True


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        ("classes", "it has other classes: only the champion has green, only the data set has none"),
        ("order", "the classes of the data set in another order"),
        ("labels", "labels.json is no list of class names"),
        ("size", "the model takes 16x16 images, the records' short side is 8"),
        ("empty", "labels.json does not exist"),
        ("no model", "model.tar.gz does not exist"),
        ("damaged", "is no gzip archive"),
        ("nan", "NaN or infinity for 60 of 60"),
    ],
)
def test_not_comparable(tmp_path: Path, challenge: Callable[..., Champion], break_it: str, reason: str) -> None:
    folder = tmp_path / "champion"
    weights = [(float("nan"), 0, 0), (0, 0, 1)] if break_it == "nan" else RIGHT
    package(folder, weights, side=16 if break_it == "size" else SIDE)
    labels = {"classes": ["red", "green", "blue"], "order": ["blue", "red"], "labels": {}}
    if break_it in labels:
        (folder / "labels.json").write_text(json.dumps(labels[break_it]))
    elif break_it == "damaged":
        (folder / "model.tar.gz").write_bytes(b"junk")
    elif break_it == "empty":
        (folder / "labels.json").unlink()
    elif break_it == "no model":
        (folder / "model.tar.gz").unlink()
    block = champion_block(challenge())
    assert (block["version"], block["comparable"], block["worse_by"]) == (3, False, 0.0)
    assert reason in block["reason"]
    assert "\n" not in block["reason"]


def test_many_classes_that_differ_are_counted(tmp_path: Path, challenge: Callable[..., Champion]) -> None:
    package(tmp_path / "champion", RIGHT, classes=[f"c{number}" for number in range(100)])
    assert "only the champion has c0, c1, c2 and 97 more, only the data set has red, blue" in challenge().reason


@pytest.mark.parametrize("content", ["[]", "{}", "3"])
def test_a_marker_that_is_none(tmp_path: Path, challenge: Callable[..., Champion], content: str) -> None:
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion/champion.json").write_text(content)
    with pytest.raises(ContainerError, match=r'champion.json must be {"champion": null}'):
        challenge(None)
