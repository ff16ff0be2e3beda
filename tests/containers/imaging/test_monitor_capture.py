"""Captured requests: every line of every file, in every form that an endpoint answers, whatever is damaged."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from captured import CLASSES, one_image, prediction, record, several_images, write_lines
from pictures import encoded, noisy

from monitor.answers import AnswerReader, UnusableAnswer
from monitor.capture import CaptureReader, Inference
from monitor.problems import Problems

PHOTOS = [(encoded(noisy(20, 16, seed=seed)), seed % 2) for seed in range(12)]


def _read(
    folder: Path, *, since: str | None = None, model_name: str | None = None
) -> tuple[list[Inference], CaptureReader, Problems]:
    problems = Problems()
    answers = AnswerReader(classes=CLASSES, model_name=model_name)
    reader = CaptureReader(folder, answers=answers, problems=problems, since=since)
    return list(reader.inferences()), reader, problems


def test_every_line_of_every_file_is_read(tmp_path: Path) -> None:
    for number in range(3):
        lines = [one_image(f"{number}-{index}", PHOTOS[4 * number + index]) for index in range(4)]
        write_lines(tmp_path / f"AllTraffic/2026/01/31/{10 + number}/part.jsonl", lines)
    found, reader, problems = _read(tmp_path)
    assert [inference.payload for inference in found] == [data for data, _ in PHOTOS]
    assert (reader.counts.files, reader.counts.lines, problems.total) == (3, 12, 0)
    assert found[5].place == "AllTraffic/2026/01/31/11/part.jsonl:2"
    assert found[5].ids == ("1-1",)


def test_a_last_line_without_newline_and_blank_lines(tmp_path: Path) -> None:
    lines = [json.dumps(one_image(str(index), PHOTOS[index])) for index in range(2)]
    (tmp_path / "a.jsonl").write_text(f"\n{lines[0]}\n  \n{lines[1]}", encoding="utf-8")
    found, reader, problems = _read(tmp_path)
    assert (len(found), reader.counts.lines, problems.total) == (2, 2, 0)


@pytest.mark.parametrize("verbose", [False, True])
def test_several_images_in_a_record(tmp_path: Path, verbose: bool) -> None:
    write_lines(tmp_path / "a.jsonl", [several_images("many", PHOTOS[:5], verbose=verbose)])
    found, _, problems = _read(tmp_path)
    assert problems.total == 0
    assert [inference.payload for inference in found] == [data for data, _ in PHOTOS[:5]]
    assert [inference.ids for inference in found] == [(f"many#{index}",) for index in range(5)]
    assert found[4].place == "a.jsonl:1#4"


def test_plain_and_verbose_answers_say_the_same(tmp_path: Path) -> None:
    for verbose in (False, True):
        write_lines(tmp_path / str(verbose) / "a.jsonl", [several_images("x", PHOTOS, verbose=verbose)])
    first, second = ([item.answer for item in _read(tmp_path / str(verbose))[0]] for verbose in (False, True))
    assert [answer.chosen for answer in first] == [answer.chosen for answer in second]
    assert [answer.confidence for answer in first] == pytest.approx([answer.confidence for answer in second])
    assert len({answer.chosen for answer in first}) == 2


def test_answers_and_requests_that_are_base64(tmp_path: Path) -> None:
    """What the service does to a type that is not among those listed as JSON."""
    written = several_images("x", PHOTOS[:2], verbose=False)
    for side in written["captureData"].values():
        side["data"], side["encoding"] = base64.b64encode(side["data"].encode()).decode(), "BASE64"
    written["captureData"]["endpointInput"]["observedContentType"] = "application/json; charset=utf-8"
    write_lines(tmp_path / "a.jsonl", [written])
    assert [item.payload for item in _read(tmp_path)[0]] == [data for data, _ in PHOTOS[:2]]


def test_ids_by_which_labels_are_joined(tmp_path: Path) -> None:
    attributes = ["verbose=true, s3_key=photos/1.jpg"]
    write_lines(tmp_path / "a.jsonl", [one_image("event", PHOTOS[0], inferenceId="mine", customAttributes=attributes)])
    assert _read(tmp_path)[0][0].ids == ("event", "mine", "photos/1.jpg")


def test_custom_attributes_may_be_one_text(tmp_path: Path) -> None:
    attributes = "verbose=true,s3_key=photos/1.jpg"
    write_lines(tmp_path / "a.jsonl", [one_image("event", PHOTOS[0], customAttributes=attributes)])
    assert _read(tmp_path)[0][0].ids == ("event", "photos/1.jpg")


def test_files_of_hours_before_a_moment_are_not_new(tmp_path: Path) -> None:
    names = ("AllTraffic/2026/01/31/10/a.jsonl", "AllTraffic/2026/01/31/11/a.jsonl", "b.jsonl")
    for number, name in enumerate(names):
        write_lines(tmp_path / name, [one_image(str(number), PHOTOS[number])])  # asked at 12:15, whatever the folder
    reader = CaptureReader(
        tmp_path, answers=AnswerReader(classes=CLASSES), problems=Problems(), new_since="2026-01-31T11:00:00Z"
    )
    assert [(item.ids[0], item.is_new) for item in reader.inferences()] == [("0", False), ("1", True), ("2", True)]


def test_requests_to_an_earlier_version_are_left_out(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [one_image(str(hour), PHOTOS[hour], hour=hour) for hour in range(6)])
    found, reader, problems = _read(tmp_path, since="2026-01-31T03:00:00Z")
    assert [inference.ids[0] for inference in found] == ["3", "4", "5"]
    assert (reader.counts.lines, reader.counts.earlier, problems.total) == (6, 3, 0)


def test_requests_of_deployments_are_left_out(tmp_path: Path) -> None:
    smoke = one_image("smoke", PHOTOS[1], inferenceId="imgpipe-smoke-test")
    write_lines(tmp_path / "a.jsonl", [one_image("1", PHOTOS[0], inferenceId="mine"), smoke])
    found, reader, problems = _read(tmp_path)
    assert [inference.ids[0] for inference in found] == ["1"]
    assert (reader.counts.lines, reader.counts.smoke_tests, problems.total) == (2, 1, 0)


def test_answers_of_another_model_are_left_out(tmp_path: Path) -> None:
    """As while traffic is shifted: the answer says who gave it, a plain one does not."""
    answers = [
        json.dumps({"predictions": [prediction(PHOTOS[index])], "model": {"name": name}})
        for index, name in enumerate(("v3", "v4"))
    ]
    records = [one_image(f"e{index}", PHOTOS[index], output=text) for index, text in enumerate(answers)]
    write_lines(tmp_path / "a.jsonl", [*records, one_image("plain", PHOTOS[2])])
    found, reader, problems = _read(tmp_path, model_name="v4")
    assert [inference.ids[0] for inference in found] == ["e1", "plain"]
    assert (reader.counts.other_model, problems.total) == (1, 0)
    assert len(_read(tmp_path)[0]) == 3


def test_a_key_with_a_comma_is_written_encoded(tmp_path: Path) -> None:
    attributes = ["verbose=true,s3_key=photos/a%2Cb.jpg"]
    write_lines(tmp_path / "a.jsonl", [one_image("event", PHOTOS[0], customAttributes=attributes)])
    assert _read(tmp_path)[0][0].ids == ("event", "photos/a%2Cb.jpg", "photos/a,b.jpg")


DAMAGED = {
    "not json": ("{", "line", "no JSON"),
    "a list": ("[1]", "line", "no captured request"),
    "deep": ("[" * 100_000, "line", "no captured request"),
    "attributes": (
        json.dumps(one_image("x", PHOTOS[0], customAttributes=7)),
        "line",
        "no captured request",
    ),
    "no output": (
        json.dumps({"captureData": {"endpointInput": {}}, "eventMetadata": {}}),
        "line",
        "no captured request",
    ),
    "no base64": (json.dumps(record("x", "%%%", "image/png", "BASE64", "[0.5, 0.5]")), "line", "no base64"),
    "an error": (
        json.dumps(record("x", "AAAA", "image/png", "BASE64", '{"error": {"code": "empty"}}')),
        "answer",
        "the answer is an error",
    ),
    "other classes": (
        json.dumps(record("x", "AAAA", "image/png", "BASE64", "[0.2, 0.3, 0.5]")),
        "answer",
        "3 probabilities",
    ),
    "fewer answers": (
        json.dumps(record("x", '["AAAA", "AAAA"]', "application/json", "JSON", "[[0.5, 0.5]]")),
        "answer",
        "1 answers to 2 images",
    ),
    "no probability": (json.dumps(record("x", "AAAA", "image/png", "BASE64", "[2, -1]")), "answer", "no probability"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_line_is_counted_and_named_and_the_others_are_read(tmp_path: Path, case: str) -> None:
    line, kind, reason = DAMAGED[case]
    write_lines(tmp_path / "a.jsonl", [one_image("1", PHOTOS[0]), line, one_image("2", PHOTOS[1])])
    found, _, problems = _read(tmp_path)
    assert [inference.ids[0] for inference in found] == ["1", "2"]
    assert problems.counts == {kind: 1}
    assert problems.places[0].startswith("a.jsonl:2: ")
    assert reason in problems.places[0]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    good = json.dumps(one_image("1", PHOTOS[0])).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\x00\n" + good + b"\n")
    found, _, problems = _read(tmp_path)
    assert (len(found), problems.counts) == (1, {"line": 1})


def test_several_labels_are_all_that_reach_a_half() -> None:
    reader = AnswerReader(classes=["a", "b", "c"], multi_label=True)
    assert reader.read("[0.7, 0.5, 0.1]")[0].chosen == (0, 1)
    assert reader.read("[0.1, 0.2, 0.1]")[0].chosen == ()


def test_a_class_that_the_model_lacks_is_no_answer_of_it() -> None:
    answer = {"predictions": [{"label": "car", "probability": 1.0, "ranked": []}]}
    with pytest.raises(UnusableAnswer, match="the model has no class 'car'"):
        AnswerReader(classes=CLASSES).read(json.dumps(answer))
