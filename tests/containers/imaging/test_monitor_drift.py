"""The monitor on real images: planted drift is drift, and the same kind of images is not.

Everywhere on handwritten digits, and on photographs too where they are; other tests take the photographs, else digits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import botocore.session
import botocore.validate
import numpy as np
import pytest
from captured import SOURCES, START, Photo, Scene, darker, one_image, several_images, write_lines
from pictures import encoded

from common.contract import ContainerError
from monitor.findings import DRIFT, NO_DRIFT, TOO_FEW
from preprocess.decode import read_image


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture(params=SOURCES)
def each_scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, source=SOURCES[request.param])


def _drifted(scene: Scene) -> set[str]:
    return {score.name for score in scene.run().drifted}


def test_windows_of_the_same_kind_do_not_alarm(each_scene: Scene) -> None:
    for start in range(0, 600, 150):
        shutil.rmtree(each_scene.inputs.capture, ignore_errors=True)
        each_scene.capture(each_scene.live[start : start + 150])
        findings = each_scene.run()
        assert findings.verdict == NO_DRIFT, [score for score in findings.scores if score.drifted]


def test_darkened_images_alarm(each_scene: Scene) -> None:
    each_scene.capture([darker(photo) for photo in each_scene.live[:150]])
    assert {"brightness", "contrast", "embedding"} <= _drifted(each_scene)
    result = each_scene.result()
    assert result["verdict"] == DRIFT
    assert result["drift_score"] > 1


def test_a_shifted_class_mix_alarms_and_no_image_statistic_does(scene: Scene) -> None:
    first = [photo for photo in scene.live if photo[1] == 0][:130]
    second = [photo for photo in scene.live if photo[1] == 1][:20]
    scene.capture([*first, *second])
    assert "prediction_mix" in _drifted(scene)


def test_doubtful_answers_alarm(scene: Scene) -> None:
    lines = [
        one_image(str(index), photo, output=json.dumps([0.55, 0.45] if photo[1] == 0 else [0.45, 0.55]))
        for index, photo in enumerate(scene.live[:150])
    ]
    write_lines(scene.inputs.capture / "a.jsonl", lines)
    assert _drifted(scene) == {"confidence"}


def test_wider_images_alarm(scene: Scene) -> None:
    def widened(photo: Photo) -> Photo:
        pixels = read_image(photo[0], short_side=0)
        return encoded(np.repeat(pixels, 2, axis=1)), photo[1]

    scene.capture([widened(photo) for photo in scene.live[:150]])
    assert "aspect" in _drifted(scene)


def test_one_image_a_thousand_times_is_one_image(scene: Scene) -> None:
    usual = [one_image(str(index), photo) for index, photo in enumerate(scene.live[:150])]
    dark = darker(scene.live[200], 0.3)
    hammered = [one_image(f"again-{index}", dark) for index in range(1000)]
    write_lines(scene.inputs.capture / "a.jsonl", [*usual, *hammered])
    findings = scene.run()
    assert findings.verdict == NO_DRIFT
    assert scene.result()["records"] == {
        "files": 1,
        "lines": 1150,
        "earlier_version": 0,
        "other_model": 0,
        "smoke_tests": 0,
        "images": 1150,
        "new_images": 1150,
        "distinct_images": 151,
        "needed": 50,
    }


def test_the_same_pixels_in_another_file_are_the_same_image(scene: Scene) -> None:
    pixels = read_image(scene.live[0][0], short_side=0)
    files = [encoded(pixels, "PNG", compress_level=level) for level in (0, 9)] + [encoded(pixels, "BMP")]
    scene.capture([(data, 0) for data in files])
    assert (scene.run().collection.images, len(scene.run().collection.samples)) == (3, 1)


def test_too_few_images_are_not_compared_and_tell_the_alarm_nothing(scene: Scene) -> None:
    scene.capture([darker(photo) for photo in scene.live[:49]])
    assert scene.run().verdict == TOO_FEW
    result = scene.result()
    assert result["scores"] == []
    names = {metric["MetricName"] for metric in result["metric_data"]}
    assert "Drift" not in names
    assert {"CapturedImages", "DistinctImages", "CaptureProblems", "UndecidedHours"} == names
    assert "49 of 50 that a comparison needs" in scene.page()


def test_nothing_captured_at_all(scene: Scene) -> None:
    assert scene.run().verdict == TOO_FEW
    assert scene.result()["predictions"] is None
    assert scene.result()["undecided"] == {"missing_images": 50, "since": START, "hours": 0}  # nothing waits
    assert "nothing to compare" in scene.page()


def test_larger_windows_notice_smaller_changes(scene: Scene) -> None:
    thresholds = []
    for size in (50, 200, 600):
        shutil.rmtree(scene.inputs.capture, ignore_errors=True)
        scene.capture(scene.live[:size])
        thresholds.append({score.name: score.threshold for score in scene.run().scores})
    for name in ("brightness", "embedding", "confidence"):
        assert thresholds[0][name] > thresholds[1][name] > thresholds[2][name]


def test_a_request_with_many_images_counts_each(scene: Scene) -> None:
    groups = [scene.live[start : start + 10] for start in range(0, 150, 10)]
    records = [several_images(str(index), group, verbose=index % 2 == 0) for index, group in enumerate(groups)]
    write_lines(scene.inputs.capture / "a.jsonl", records)
    assert (scene.run().verdict, len(scene.run().collection.samples)) == (NO_DRIFT, 150)


def test_images_of_other_sizes_are_brought_to_the_baselines(scene: Scene) -> None:
    def enlarged(photo: Photo) -> Photo:
        return encoded(read_image(photo[0], short_side=96)), photo[1]

    scene.capture([enlarged(photo) for photo in scene.live[:150]])
    findings = scene.run()
    assert findings.verdict == NO_DRIFT
    assert {sample.facts.width for sample in findings.collection.samples} == {32}


def test_metrics_are_what_cloudwatch_takes(scene: Scene) -> None:
    scene.capture(scene.live[:100])
    scene.run()
    data = scene.result()["metric_data"]
    model = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricData")
    request = {"Namespace": "imgpipe", "MetricData": data}
    report = botocore.validate.ParamValidator().validate(request, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    values = {metric["MetricName"]: metric["Value"] for metric in data}
    assert values["Drift"] == 0
    assert 0 < values["DriftScore"] <= 1
    assert values["DistinctImages"] == 100
    assert {tuple(item.values()) for metric in data for item in metric["Dimensions"]} == {
        ("EndpointName", "imgpipe-dev")
    }


def test_equal_inputs_give_equal_files(scene: Scene) -> None:
    scene.capture(scene.live[:100])
    scene.run()
    first = [(scene.output / name).read_bytes() for name in ("monitor.json", "monitor.html")]
    scene.run()
    assert [(scene.output / name).read_bytes() for name in ("monitor.json", "monitor.html")] == first


def test_damaged_lines_do_not_stop_a_run(scene: Scene) -> None:
    lines = [one_image(str(index), photo) for index, photo in enumerate(scene.live[:100])]
    broken = one_image("x", (b"no image", 0))
    write_lines(scene.inputs.capture / "a.jsonl", [*lines, "{", broken])
    assert scene.run().verdict == NO_DRIFT
    problems = scene.result()["problems"]
    assert problems["counts"] == {"line": 1, "image": 1}
    assert problems["first"] == [
        "a.jsonl:101: no captured request: no JSON",
        "a.jsonl:102: unreadable image: neither JPEG, PNG, WebP, BMP, GIF nor TIFF, whatever its name says",
    ]


def test_only_damaged_lines_are_an_error(scene: Scene) -> None:
    write_lines(scene.inputs.capture / "a.jsonl", ["{", "nothing"])
    with pytest.raises(ContainerError, match=r"none of 2 captured lines can be read, the first: a.jsonl:1"):
        scene.run()
    assert not scene.output.exists()


def test_a_baseline_is_needed(scene: Scene) -> None:
    (scene.inputs.baseline / "baseline.json").unlink()
    with pytest.raises(ContainerError, match=r"holds no baseline\.json: give the package folder"):
        scene.run()


def test_earlier_results_are_drawn(scene: Scene) -> None:
    for day in (1, 2, 3):
        shutil.rmtree(scene.inputs.capture, ignore_errors=True)
        scene.capture(scene.live[100 * day : 100 * day + 100])
        scene.run(end=f"2026-02-0{day}T00:00:00Z")
        folder = scene.inputs.history / f"2026-02-0{day}T00"
        folder.mkdir(parents=True)
        shutil.copy(scene.output / "monitor.json", folder)
    (scene.inputs.history / "2026-02-01T00" / "monitor.json").write_text("{}")
    findings = scene.run(end="2026-02-03T00:00:00Z")
    # the third is this window itself, the first is damaged
    assert [point.end for point in findings.history] == ["2026-02-02T00:00:00Z"]
    assert findings.problems.counts == {"history": 1}
    assert "2026-02-02T00:00:00Z: 0." in scene.page()
