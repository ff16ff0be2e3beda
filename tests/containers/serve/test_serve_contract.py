"""SageMaker's contract: health checks, forms of request and answer, and what a transform job is told."""

from __future__ import annotations

import json
import math
import os

import pytest
from served import ATTRIBUTES, CLASSES, Served, encoded, listed, picture, serving


def test_a_health_check_is_answered_and_not_logged(server: Served) -> None:
    answer = server.ask("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")
    server.classify(encoded(picture()))
    assert server.next_line("request")["path"] == "/invocations"


@pytest.mark.parametrize("color", CLASSES)
def test_the_plain_answer_is_the_built_in_images(server: Served, color: str) -> None:
    answer = server.classify(encoded(picture(color)))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.content) == 3
    assert math.isclose(sum(answer.content), 1, abs_tol=1e-5)
    assert max(answer.content) == answer.content[CLASSES.index(color)]


def test_a_list_is_answered_with_a_list(server: Served) -> None:
    colors = ["blue", "red", "green"] * 7  # more than go through the network together
    answer = server.classify(listed(*(encoded(picture(color, width=12)) for color in colors)), "application/json")
    found = [CLASSES[row.index(max(row))] for row in answer.content]
    assert found == colors
    (alone,) = server.classify(listed(encoded(picture("red"))), "application/json").content
    assert alone == pytest.approx(server.classify(encoded(picture("red"))).content)


@pytest.mark.parametrize("attributes", ["verbose=true", "trace=9; Verbose = TRUE", "a=b,verbose=true"])
def test_the_verbose_answer_has_names(server: Served, attributes: str) -> None:
    image = encoded(picture("green"))
    content = server.classify(image, **{ATTRIBUTES: attributes}).content
    plain = server.classify(image).content
    (prediction,) = content["predictions"]
    assert (prediction["label"], prediction["index"]) == ("green", 1)
    assert prediction["probability"] == plain[1]
    assert {entry["label"]: entry["probability"] for entry in prediction["ranked"]} == dict(
        zip(CLASSES, plain, strict=True)
    )
    ranked = [entry["probability"] for entry in prediction["ranked"]]
    assert ranked == sorted(ranked, reverse=True)
    expected = {"name": "colors-v7", "precision": "fp32", "training_artifact_sha256": "a" * 64}
    assert content["model"] == expected


@pytest.mark.parametrize("attributes", ["", "verbose=false", "verbose", "not_verbose=true", "x" * 1024])
def test_other_attributes_change_nothing(server: Served, attributes: str) -> None:
    assert isinstance(server.classify(encoded(picture()), **{ATTRIBUTES: attributes}).content, list)


def test_a_class_has_its_own_threshold_or_that_of_all(server: Served) -> None:
    images = [encoded(picture(color)) for color in ("red", "green")]
    red, green = server.verbose(listed(*images), "application/json")["predictions"]
    assert (red["threshold"], red["accepted"]) == (0.99, True)
    assert (green["threshold"], green["accepted"]) == (0.9, True)
    faint = picture("green").point(lambda value: 120 + value // 4)
    (unsure,) = server.verbose(encoded(faint))["predictions"]
    assert unsure["probability"] < 0.9
    assert unsure["accepted"] is False


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png; charset=binary", "APPLICATION/X-Image", "", " ;x"])
def test_what_the_bytes_are_decides_how_they_are_read(server: Served, content_type: str) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        answer = server.classify(encoded(picture("blue"), kind), content_type)
        assert answer.status == 200, (kind, answer.body)
        assert answer.content.index(max(answer.content)) == 2


def test_a_request_without_a_type_holds_an_image(server: Served) -> None:
    answer = server.ask("POST", "/invocations", encoded(picture("blue")))
    assert answer.content.index(max(answer.content)) == 2


def test_a_transform_job_is_told_how_to_send(colors) -> None:
    with serving(colors, SAGEMAKER_BATCH="true", SAGEMAKER_MAX_PAYLOAD_IN_MB="20") as served:
        content = served.ask("GET", "/execution-parameters").content
    assert content == {
        "MaxConcurrentTransforms": min(len(os.sched_getaffinity(0)), 5),
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 20,
    }


def test_a_transform_job_without_a_limit_has_the_services_most(colors) -> None:
    with serving(colors, SAGEMAKER_BATCH="true", SAGEMAKER_MAX_PAYLOAD_IN_MB="0") as served:
        assert served.ask("GET", "/execution-parameters").content["MaxPayloadInMB"] == 100
        assert served.classify(encoded(picture()) + bytes(8 * 1024**2)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/invocations", 405, "method_not_allowed"),
        ("POST", "/ping", 405, "method_not_allowed"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/invocations/other", 404, "not_found"),
    ],
)
def test_other_paths_and_methods_are_refused_in_json(
    server: Served, method: str, path: str, status: int, code: str
) -> None:
    answer = server.ask(method, path, b"x" if method == "POST" else None)
    assert (answer.status, answer.code) == (status, code)


def test_a_log_line_says_what_was_asked(server: Served) -> None:
    while not server.lines.empty():
        server.lines.get()
    server.classify(listed(encoded(picture()), encoded(picture())), "application/json")
    server.classify(b"nonsense")
    first, second = (server.next_line("request") for _ in range(2))
    assert (first["status"], first["images"], first["level"]) == (200, 2, "info")
    assert first["milliseconds"] > 0
    assert (second["status"], second["code"]) == (400, "not_an_image")
    assert json.dumps(first).count("\n") == 0
