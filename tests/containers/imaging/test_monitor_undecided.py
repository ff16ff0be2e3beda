"""Windows without a verdict: what they say, what is kept for the next one, and that nothing counts twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from captured import CLASSES, END, START, Scene, darker, write_lines

from common.contract import ContainerError
from monitor.findings import DRIFT, TOO_FEW

SINCE = "2026-01-29T12:00:00Z"
FIRST, SECOND = "2026/01/31/12/one.jsonl", "2026/01/31/18/two.jsonl"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def _mark(scene: Scene) -> str:
    return (scene.output / "undecided.txt").read_text()


def _metrics(scene: Scene) -> dict[str, float]:
    return {item["MetricName"]: item["Value"] for item in scene.result()["metric_data"]}


def test_a_window_without_a_verdict_says_what_is_missing_and_since_when(scene: Scene) -> None:
    scene.choose(undecided_since="2026-01-31T06:00:00Z")
    scene.capture(scene.live[:30])
    scene.run()
    assert scene.result()["undecided"] == {"missing_images": 20, "since": "2026-01-31T06:00:00Z", "hours": 18}
    assert scene.result()["left_out"] is None
    assert _metrics(scene)["UndecidedHours"] == 18
    assert _mark(scene) == "30 of 50 distinct images since 2026-01-31T06:00:00Z\n"
    page = scene.page()
    assert "<title>imgpipe-dev: Undecided, 2026-02-01 00:00 UTC</title>" in page
    assert "<b>20</b> distinct images are missing for a comparison" in page
    assert "accumulate since 2026-01-31 06:00 UTC, for 18 hours now" in page
    assert "<h2>Left out</h2>" not in page


def test_a_verdict_ends_the_wait_and_clears_the_mark_of_an_earlier_try(scene: Scene) -> None:
    scene.capture(scene.live[:30])
    scene.run()
    assert _mark(scene)
    scene.capture(scene.live[:60])
    scene.run()
    assert _mark(scene) == ""
    assert scene.result()["undecided"] is None
    assert _metrics(scene)["UndecidedHours"] == 0
    assert "<h2>No verdict</h2>" not in scene.page()


@pytest.mark.parametrize("count", [30, 60])
def test_captures_that_the_window_does_not_reach_are_named(scene: Scene, count: int) -> None:
    scene.choose(undecided_since=SINCE)
    scene.capture(scene.live[:count])
    scene.run()
    assert scene.result()["left_out"] == {"start": SINCE, "end": START}
    assert "captured from 2026-01-29 12:00 UTC to 2026-01-31 00:00 UTC never came to a verdict" in scene.page()


def test_a_quiet_endpoint_that_drifts_is_found_out_together(scene: Scene) -> None:
    """Two windows of 30 images say nothing, and both together say drift."""
    dark = [darker(photo, 0.5) for photo in scene.live[:60]]
    scene.capture(dark[:30], name=FIRST)
    assert scene.run(end="2026-01-31T18:00:00Z").verdict == TOO_FEW
    scene.choose(new_since="2026-01-31T18:00:00Z")
    scene.capture(dark[30:], name=SECOND)
    assert scene.run().verdict == DRIFT


def test_captured_images_are_told_once(scene: Scene) -> None:
    scene.choose(new_since="2026-01-31T18:00:00Z")
    scene.capture(scene.live[:30], name=FIRST)
    scene.capture([*scene.live[30:60], scene.live[0]], name=SECOND)
    scene.run()
    records = scene.result()["records"]
    assert (records["images"], records["new_images"], records["distinct_images"]) == (61, 31, 60)
    assert (_metrics(scene)["CapturedImages"], _metrics(scene)["DistinctImages"]) == (31, 60)


def test_labels_of_images_in_two_results_count_once(scene: Scene) -> None:
    scene.capture(scene.live[:30], name=FIRST)
    scene.run(end="2026-01-31T18:00:00Z")
    kept = scene.inputs.history / "2026-01-31T18"
    kept.mkdir(parents=True)
    shutil.copy(scene.output / "predictions.jsonl", kept)
    write_lines(
        scene.inputs.ground_truth / "a.jsonl",
        [{"event_id": f"e{index}", "label": CLASSES[photo[1]]} for index, photo in enumerate(scene.live[:20])],
    )
    assert scene.run().labelled.size == 20
    shutil.rmtree(scene.inputs.capture / "2026")  # as where the longest window does not reach them any more
    assert scene.run().labelled.size == 20


@pytest.mark.parametrize(
    ("content", "said"),
    [({"new_since": START}, "'undecided_since'"), ({"new_since": START, "undecided_since": "soon"}, "soon")],
)
def test_a_malformed_window_is_refused(scene: Scene, content: dict[str, str], said: str) -> None:
    scene.inputs.history.mkdir()
    (scene.inputs.history / "window.json").write_text(json.dumps(content))
    with pytest.raises(ContainerError, match=rf"window\.json lacks or misstates .*{said}.*: select the window again"):
        scene.run(end=END)
