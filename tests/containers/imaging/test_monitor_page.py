"""monitor.html: whole, self-contained, and nothing from the data is taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from captured import CLASSES, Scene, one_image, write_lines

from common.dataset import read_json
from common.files import write_json
from monitor.scales import round_ticks

VOID = {"meta", "img"}


class _Page(HTMLParser):
    """Collects tags and addresses, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _parsed(page: str) -> _Page:
    parser = _Page()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_page_shows_images_and_asks_nobody(scene: Scene) -> None:
    scene.capture(scene.live[:100])
    scene.run()
    page = _parsed(scene.page())
    assert page.tags.count("img") == 24
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "script" not in page.tags
    text = " ".join(" ".join(page.text).split())
    assert "No drift in 6 scores" in text
    assert "100 distinct images · compared with 300 test images" in text
    assert "prefers-color-scheme: dark" in scene.page()


def test_a_page_without_a_verdict_is_whole(scene: Scene) -> None:
    scene.choose(undecided_since="2026-01-20T00:00:00Z")
    scene.capture(scene.live[:30])
    scene.run()
    text = " ".join(" ".join(_parsed(scene.page()).text).split())
    assert "Undecided 30 of 50 that a comparison needs" in text
    assert "No verdict Whether these images drift is unknown: 20 distinct images are missing" in text
    assert "Left out What was captured from 2026-01-20 00:00 UTC to 2026-01-31 00:00 UTC" in text


def test_least_sure_come_first(scene: Scene) -> None:
    scene.capture(scene.live[:100])
    findings = scene.run()
    confidences = sorted(sample.answer.confidence for sample in findings.collection.samples)[:12]
    least, unusual = scene.page().split("<h2>Least sure</h2>")[1].split("<h2>Most unusual</h2>")
    assert [float(value) for value in re.findall(r"<i>([\d.]+)%</i>", least)] == pytest.approx(
        [100 * value for value in confidences], abs=0.051
    )
    deviations = [float(value) for value in re.findall(r"<span>([\d.]+) deviations", unusual)]
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[0] == pytest.approx(max(item.unusual for item in findings.collection.samples), abs=0.051)


def test_names_from_the_data_are_text(scene: Scene) -> None:
    evil = "<script>alert(1)</script>&\"'"
    baseline = read_json(scene.inputs.baseline / "baseline.json")
    write_json(scene.inputs.baseline / "baseline.json", {**baseline, "classes": [evil, CLASSES[1]]})
    lines = [one_image(str(index), photo) for index, photo in enumerate(scene.live[:60])]
    write_lines(scene.inputs.capture / "<b>&.jsonl", [*lines, "{"])
    scene.run()
    page = scene.page()
    assert "<script" not in page
    assert "<b>&.jsonl" not in page
    parsed = _parsed(page)
    assert evil in parsed.text
    assert "<b>&.jsonl:61: no captured request: no JSON" in parsed.text


def test_problems_are_on_the_page(scene: Scene) -> None:
    lines = [one_image(str(index), photo) for index, photo in enumerate(scene.live[:60])]
    write_lines(scene.inputs.capture / "a.jsonl", [*lines, *["{"] * 30])
    scene.run()
    page = scene.page()
    assert "30 problems: 30 damaged lines" in page
    assert page.count("no captured request") == 8


@pytest.mark.parametrize(
    ("high", "expected"), [(0.105, [0, 0.05, 0.1, 0.15]), (1.0, [0, 0.5, 1.0]), (0.0, [0, 0.5]), (3.2, [0, 2, 4])]
)
def test_ticks_are_round_and_reach_the_highest_value(high: float, expected: list[float]) -> None:
    assert round_ticks(high) == expected
