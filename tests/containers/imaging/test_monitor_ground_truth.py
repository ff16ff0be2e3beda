"""Labels that came later: forms, joins, accuracy, and the alarm when it falls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import CLASSES, Scene, probabilities, several_images, write_lines

from monitor.findings import wilson_interval
from monitor.ground_truth import read_ground_truth
from monitor.problems import Problems
from monitor.scores import Labelled


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def _right(scene: Scene, count: int) -> int:
    shown = scene.live[:count]
    return sum((probabilities(photo)[photo[1]] > 0.5) for photo in shown)


@pytest.mark.parametrize("form", ["csv", "jsonl", "service"])
def test_accuracy_of_labelled_images(scene: Scene, form: str) -> None:
    scene.capture(scene.live[:120])
    labels = [(f"e{index}", CLASSES[photo[1]]) for index, photo in enumerate(scene.live[:40])]
    if form == "csv":
        text = "event_id,label\n" + "".join(f"{id_},{label}\n" for id_, label in labels)
        scene.inputs.ground_truth.mkdir()
        (scene.inputs.ground_truth / "a.csv").write_text(text)
    elif form == "jsonl":
        write_lines(scene.inputs.ground_truth / "a.jsonl", [{"event_id": i, "label": name} for i, name in labels])
    else:
        lines = [
            {
                "groundTruthData": {"data": str(CLASSES.index(name)), "encoding": "CSV"},
                "eventMetadata": {"eventId": id_},
                "eventVersion": "0",
            }
            for id_, name in labels
        ]
        write_lines(scene.inputs.ground_truth / "a.jsonl", lines)
    findings = scene.run()
    assert findings.labelled == Labelled(40, _right(scene, 40))
    accuracy = scene.result()["accuracy"]
    assert accuracy["live"] == pytest.approx(_right(scene, 40) / 40)
    assert accuracy["interval"][0] < accuracy["live"] < accuracy["interval"][1]
    metrics = {item["MetricName"]: item["Value"] for item in scene.result()["metric_data"]}
    assert (metrics["LabelledImages"], metrics["LiveAccuracy"]) == (40, pytest.approx(100 * accuracy["live"]))
    assert "of 40 labelled images were answered right" in scene.page()


def _label(scene: Scene, *ids: str, label: str = CLASSES[0]) -> None:
    write_lines(scene.inputs.ground_truth / "a.jsonl", [{"event_id": id_, "label": label} for id_ in ids])


def _keep(scene: Scene, hour: str) -> None:
    """What a run wrote becomes the history of the next."""
    folder = scene.inputs.history / hour
    folder.mkdir(parents=True)
    for name in ("monitor.json", "predictions.jsonl"):
        (scene.output / name).rename(folder / name)


def test_labels_of_earlier_windows_count_for_the_version_that_answered(scene: Scene) -> None:
    scene.capture([*scene.live[:60], scene.live[0]])  # e60 shows the image of e0 again
    scene.run()
    _keep(scene, "2026-01-31T00")
    scene.capture(scene.live[60:120])
    (scene.inputs.capture / "2026/01/31/12/one.jsonl").rename(scene.inputs.capture / "two.jsonl")
    text = (scene.inputs.capture / "two.jsonl").read_text().replace('"eventId": "e', '"eventId": "f')
    (scene.inputs.capture / "two.jsonl").write_text(text)
    _label(scene, "e0", "e1", "e2", "e60", "f5")
    shown = [*scene.live[:3], scene.live[65]]
    right = sum(probabilities(photo)[0] > 0.5 for photo in shown)
    assert scene.run().labelled == Labelled(4, right)
    assert scene.result()["accuracy"]["labelled_in_window"] == 1
    kept = scene.inputs.history / "2026-01-31T00" / "predictions.jsonl"
    kept.write_text(kept.read_text().replace('"version":"3"', '"version":"2"'))
    assert scene.run().labelled == Labelled(1, int(probabilities(scene.live[65])[0] > 0.5))


def test_an_image_that_was_seen_in_two_windows_counts_once(scene: Scene) -> None:
    scene.capture(scene.live[:60])
    scene.run()
    _keep(scene, "2026-01-31T00")
    _label(scene, "e3")
    assert scene.run().labelled == Labelled(1, int(probabilities(scene.live[3])[0] > 0.5))


def test_damaged_predictions_are_named(scene: Scene) -> None:
    scene.capture(scene.live[:60])
    write_lines(scene.inputs.history / "predictions.jsonl", ["{", '{"version": "3"}', '{"version": "2"}'])
    assert scene.run().problems.counts == {"history": 2}


def test_the_only_image_of_a_request_may_be_named_with_its_index(scene: Scene) -> None:
    scene.capture(scene.live[:60])
    write_lines(scene.inputs.ground_truth / "a.jsonl", [{"event_id": "e3", "index": 0, "label": CLASSES[0]}])
    assert scene.run().labelled.size == 1


def test_csv_with_line_separators_within_a_field(tmp_path: Path) -> None:
    text = f'image,label\r\n"a\u2028b.jpg",{CLASSES[0]}\r\n"two\nlines",{CLASSES[1]}\r\nplain,car\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    problems = Problems()
    found = read_ground_truth(tmp_path, classes=CLASSES, problems=problems)
    assert found.labels == {"a\u2028b.jpg": frozenset({0}), "two\nlines": frozenset({1})}
    assert problems.places == ["a.csv:5: label 'car' is no class of the model"]


def test_a_fall_of_accuracy_is_drift(scene: Scene) -> None:
    scene.capture(scene.live[:120])
    lines = [{"event_id": f"e{index}", "label": CLASSES[index % 2]} for index in range(120)]
    write_lines(scene.inputs.ground_truth / "a.jsonl", lines)
    assert [score.name for score in scene.run().drifted] == ["accuracy"]


def test_better_than_tested_is_no_drift(scene: Scene) -> None:
    scene.capture(scene.live[:120])
    lines = [
        {"event_id": f"e{index}", "label": int(probabilities(photo)[1] > 0.5)}
        for index, photo in enumerate(scene.live[:120])
    ]
    write_lines(scene.inputs.ground_truth / "a.jsonl", lines)
    findings = scene.run()
    assert (findings.labelled, findings.drifted) == (Labelled(120, 120), [])


def test_an_image_of_several_is_named_by_its_place(scene: Scene) -> None:
    write_lines(scene.inputs.capture / "a.jsonl", [several_images("many", scene.live[:60], verbose=True)])
    lines = [
        {"event_id": "many", "index": index, "label": CLASSES[photo[1]]} for index, photo in enumerate(scene.live[:60])
    ]
    write_lines(scene.inputs.ground_truth / "a.jsonl", lines)
    assert scene.run().labelled == Labelled(60, _right(scene, 60))


def test_an_image_that_came_again_is_labelled_once(scene: Scene) -> None:
    scene.capture([*scene.live[:60], scene.live[0]])
    lines = [{"event_id": id_, "label": CLASSES[scene.live[0][1]]} for id_ in ("e60", "unheard")]
    write_lines(scene.inputs.ground_truth / "a.jsonl", lines)
    assert scene.run().labelled == Labelled(1, _right(scene, 1))


def test_what_is_no_label_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "b.jsonl", ["{", "[]", {"event_id": "a"}, {"label": "first"}, {"id": "b", "label": "car"}])
    (tmp_path / "a.csv").write_text("event_id,label\nx,first\ny,\nz,7\n")
    problems = Problems()
    found = read_ground_truth(tmp_path, classes=CLASSES, problems=problems)
    assert found.labels == {"x": frozenset({0})}
    assert problems.counts == {"label": 7}
    assert problems.places[0].startswith("a.csv:3: no label or no id: give label and one of event_id")
    assert problems.places[1] == "a.csv:4: label '7' is no class of the model"
    assert problems.places[-1] == "b.jsonl:5: label 'car' is no class of the model"


def test_the_later_label_counts(tmp_path: Path) -> None:
    for name, label in {"1.jsonl": "first", "2.jsonl": "second"}.items():
        write_lines(tmp_path / name, [{"event_id": "x", "label": label}])
    assert read_ground_truth(tmp_path, classes=CLASSES, problems=Problems()).of(["?", "x"]) == frozenset({1})


def test_several_labels_of_an_image(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"id": "x", "label": "a|c"}, {"id": "y", "label": ["b"]}])
    found = read_ground_truth(tmp_path, classes=["a", "b", "c"], problems=Problems())
    assert found.labels == {"x": frozenset({0, 2}), "y": frozenset({1})}


def test_interval_against_published_values() -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson)."""
    for right, size, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(Labelled(size, right)) == pytest.approx((low, high), abs=6e-5)


def test_without_labels_there_is_no_accuracy(scene: Scene) -> None:
    scene.capture(scene.live[:60])
    scene.run()
    assert json.loads((scene.output / "monitor.json").read_text())["accuracy"] is None
