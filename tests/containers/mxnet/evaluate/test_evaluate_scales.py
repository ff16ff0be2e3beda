"""Axes and lines: round ticks, logarithmic and categorical places, gaps where a value is missing."""

import json
import math
from pathlib import Path

import pytest
from known_model import training_content

from common.files import write_json
from common.training_record import TrainingRecord, read_training_record
from evaluate import line_charts
from evaluate.scales import round_ticks, scale_of


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 2.6, [0, 1, 2, 3]),
        (0.81, 0.99, [0.8, 0.85, 0.9, 0.95, 1.0]),
        (-3, 9, [-5, 0, 5, 10]),
        (5, 5, [5, 7.5, 10]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_round_ticks(low: float, high: float, expected: list[float]) -> None:
    found = round_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    if low < high:
        assert found == pytest.approx(expected)


def test_kinds_of_axes() -> None:
    assert scale_of(["1", "100"]).kind == "linear"
    log = scale_of(["0.001", "1", "0.1"])
    assert log.kind == "log"
    assert [text for _, text in log.ticks] == ["0.001", "0.01", "0.1", "1"]
    assert log.place("0.01") == pytest.approx(1 / 3)
    assert scale_of(["0", "1000"]).kind == "linear"
    assert scale_of(["5"]).place("5") == 0.5
    assert scale_of(["nan", "1"]).kind == "category"
    words = scale_of(["sgd", "adam", "sgd"])
    assert (words.kind, words.categories, words.place("sgd")) == ("category", ("adam", "sgd"), 1.0)
    assert scale_of(["only"]).place("only") == 0.5


def record(folder: Path, **changes: object) -> TrainingRecord:
    write_json(folder / "training.json", {**training_content(), **changes})
    return read_training_record(folder / "training.json")


def test_charts_of_a_training(tmp_path: Path) -> None:
    loss, accuracy, wait = line_charts.training_charts(record(tmp_path))
    assert [chart.title for chart in (loss, accuracy, wait)] == [
        "Loss (cross-entropy)",
        "Accuracy",
        "Time spent waiting for data",
    ]
    # the best of epochs 0, 1, 2 is in the middle
    assert (loss.best_epoch, loss.best) == (1, line_charts.WIDTH / 2)
    assert [line.name for line in loss.lines] == ["train", "validation"]
    xs = [point.split(",")[0] for point in loss.lines[0].parts[0].split()]
    assert [float(x) for x in xs] == [0, line_charts.WIDTH / 2, line_charts.WIDTH]
    heights = [y for _, y in loss.lines[0].dots]
    assert heights == sorted(heights)
    assert wait.y_ticks[0][1] == "0%"
    assert all(chart.y_ticks[-1][0] == 0 for chart in (loss, accuracy, wait))


def test_a_missing_value_breaks_the_line(tmp_path: Path) -> None:
    epochs = training_content(epochs=5)["epochs"]
    epochs[2]["train"]["cross-entropy"] = math.inf
    path = tmp_path / "training.json"
    path.write_text(json.dumps({**training_content(), "epochs": epochs}))
    loss = line_charts.training_charts(read_training_record(path))[0]
    assert len(loss.lines[0].parts) == 2
    assert len(loss.lines[1].parts) == 1


def test_one_epoch_and_metrics_that_are_not_there(tmp_path: Path) -> None:
    one = record(tmp_path, best_epoch=0, epochs=training_content()["epochs"][:1], selected_by="f1")
    charts = line_charts.training_charts(one)
    assert [chart.title for chart in charts] == ["Loss (cross-entropy)", "Time spent waiting for data"]
    assert charts[0].lines[0].parts == []
    assert len(charts[0].lines[0].dots) == 1
