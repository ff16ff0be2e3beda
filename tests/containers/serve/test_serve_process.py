"""The program from start to end: what it refuses to start with, signals, and many requests."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from served import (
    CLASSES,
    PATIENCE_SECONDS,
    Served,
    encoded,
    failure,
    listed,
    picture,
    serving,
    start,
    write_archive,
    write_model,
)


def begun(served: Served, body: bytes) -> socket.socket:
    """Return a connection whose request has begun: its handler has asked for the body."""
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_SECONDS)
    head = f"POST /invocations HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(head.encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def test_sigterm_lets_a_request_that_has_begun_end(colors: Path) -> None:
    body = encoded(picture("green"))
    with serving(colors) as served, begun(served, body) as connection:
        served.process.send_signal(signal.SIGTERM)
        _wait_until_refused(served.port)
        assert served.process.poll() is None
        connection.sendall(body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        answer = json.loads(response.read())
        assert answer.index(max(answer)) == 1
        assert served.process.wait(timeout=PATIENCE_SECONDS) == 0


def _wait_until_refused(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it(colors: Path, number: int, code: int) -> None:
    with serving(colors) as served:
        assert served.ask("GET", "/ping").status == 200
        assert served.end(number) == code


def test_the_archive_can_be_unpacked_by_the_program(colors: Path, tmp_path: Path) -> None:
    archive = write_archive(colors / "model", tmp_path / "model.tar.gz")
    with serving(tmp_path / "root", "--archive", str(archive)) as served:
        (prediction,) = served.verbose(encoded(picture("blue")))["predictions"]
        assert prediction["label"] == "blue"
        assert served.verbose(encoded(picture()))["model"]["name"] is None


def test_onnx_runtime_tells_nobody_and_leaves_no_id_of_the_machine(colors: Path, tmp_path: Path) -> None:
    for name in ("home", "scratch"):
        (tmp_path / name).mkdir()
    places = {"TMPDIR": str(tmp_path / "scratch"), "HOME": str(tmp_path / "home")}
    with serving(colors, **places, ORT_DISABLE_TELEMETRY="") as served:
        assert served.classify(encoded(picture())).status == 200
        assert served.end() == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_port_is_taken(colors: Path, server: Served) -> None:
    reason = failure(colors, SAGEMAKER_BIND_TO_PORT=str(server.port))
    assert f"port {server.port} of 127.0.0.1 cannot be used: Address already in use" in reason


@pytest.mark.parametrize(
    ("variable", "text", "part"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http", "must be a port from 0 to 65535, got 'http'"),
        ("SAGEMAKER_BIND_TO_PORT", "65536", "must be a port"),
        ("IMGPIPE_MAX_PAYLOAD_BYTES", "6MB", "must be a whole number of at least 1, got '6MB'"),
        ("IMGPIPE_MAX_PAYLOAD_BYTES", "0", "at least 1"),
    ],
)
def test_settings_that_are_wrong(colors: Path, variable: str, text: str, part: str) -> None:
    reason = failure(colors, **{variable: text})
    assert variable in reason
    assert part in reason


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "labels.json"])
def test_a_file_that_is_missing(colors: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(colors / "model", tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    assert f"holds no {name}: this is no packaged model" in failure(tmp_path)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"schema_version": 2}, "schema_version must be 1, got 2"),
        ({"classes": 4}, "classes is 4, labels.json names 3"),
        ({"image_shape": [1, 16, 16]}, "image_shape must be [3, height, width]"),
        ({"image_shape": [3, 16]}, "malformed"),
        ({"image_shape": [3, 20, 16]}, "does not take (3, 20, 16) images"),
        ({"resize": 15}, "resize 15 is smaller than the 16x16"),
        ({"crop": "circle"}, "crop must be one of none, square"),
        ({"thresholds": {"overall": None}}, "has no field 'per_class'"),
        ({"thresholds": {"overall": None, "per_class": [None]}}, "has 1 entries for 3 classes"),
        ({"thresholds": None}, "malformed"),
        ({"labels": "red"}, "must be a list of class names"),
    ],
)
def test_facts_that_are_wrong(networks: Path, tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    write_model(tmp_path / "model", networks / "colors.onnx", **changes)
    assert part in failure(tmp_path)


def test_networks_that_are_wrong(networks: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "pairs" / "model", networks / "pairs.onnx")
    assert "answers (1, 2) for one image, labels.json names 3 classes" in failure(tmp_path / "pairs")
    damaged = write_model(tmp_path / "damaged" / "model", networks / "colors.onnx")
    (damaged / "model.onnx").write_bytes((damaged / "model.onnx").read_bytes()[:100])
    assert "model.onnx cannot be loaded" in failure(tmp_path / "damaged")
    (damaged / "model.json").write_text("{")
    assert "model.json is not JSON" in failure(tmp_path / "damaged")


def test_archives_that_are_wrong(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    assert f"{archive} does not exist" in failure(tmp_path, "--archive", str(archive))
    archive.write_bytes(b"nonsense")
    assert "is no gzip archive: give a model.tar.gz" in failure(tmp_path, "--archive", str(archive))
    (tmp_path / "image-classification-0001.params").touch()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "image-classification-0001.params", "image-classification-0001.params")
    assert "this is no packaged model" in failure(tmp_path, "--archive", str(archive))
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "image-classification-0001.params", "../model.onnx")
    assert "points outside the archive; refused" in failure(tmp_path / "root", "--archive", str(archive))
    assert not list(tmp_path.rglob("model.onnx"))


def test_a_mistake_on_the_command_line(tmp_path: Path) -> None:
    process = start(tmp_path, "--port", "1")
    _, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert error == "error: serve: unrecognized arguments: --port 1; see --help for the arguments\n"


def test_a_network_that_answers_no_numbers_is_an_error_of_the_server(networks: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", networks / "nan.onnx")
    with serving(tmp_path) as served:
        answer = served.classify(encoded(picture()))
        assert (answer.status, answer.code) == (500, "no_probability")
        assert served.next_line("request")["level"] == "error"


def test_many_clients_get_their_own_answers(server: Served) -> None:
    wrong: list[object] = []

    def client(color: str) -> None:
        image, expected = encoded(picture(color)), CLASSES.index(color)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
        for _ in range(25):
            connection.request("POST", "/invocations", image, {"Content-Type": "image/png"})
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status != 200 or content.index(max(content)) != expected:
                wrong.append((color, content))
        connection.close()

    threads = [threading.Thread(target=client, args=(CLASSES[number % 3],)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.slow
def test_memory_stays_flat_over_many_requests(networks: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", networks / "large.onnx", image_shape=[3, 224, 224], resize=256)
    photo = encoded(picture(width=500, height=375), "JPEG")
    bodies = [(photo, "image/jpeg"), (listed(*[photo] * 10), "application/json"), (photo[:999], "image/jpeg")]
    with serving(tmp_path) as served:
        after_warm_up = 0
        for number in range(3000):
            served.classify(*bodies[0 if number % 10 else number // 10 % 3])
            if number == 1000:
                after_warm_up = _resident_bytes(served.process.pid)
        grown = _resident_bytes(served.process.pid) - after_warm_up
    assert grown < 8 * 1024**2


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
