"""`imgpipe predict`: labels with bars or as JSON from an endpoint that answers over HTTP, and what it refuses."""

from __future__ import annotations

import http.server
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

import imgpipe.cli
import imgpipe.local_endpoint
from imgpipe.errors import CommandError
from imgpipe.predictions import Prediction, image_files, print_prediction
from local.endpoint.record import EndpointRecord, ProcessMark
from local.endpoint.state import endpoint_directory

Command = Callable[..., tuple[int, str, str]]
NAME = "imgpipe-dev"
RANKED = [
    {"label": f"[b]label {index}", "probability": share} for index, share in enumerate([0.5, 0.25, 0.1, 0.1, 0.05, 0.0])
]


@dataclass(kw_only=True)
class Endpoint:
    """What stands for sagemaker-runtime: it knows pictures of one colour, and notes what it was asked."""

    port: int
    asked: list[dict[str, str]] = field(default_factory=list)
    before: dict[int, Callable[[Any], None]] = field(default_factory=dict)  # other answers, by number of the request


def answer_to(body: bytes) -> tuple[int, dict[str, Any]]:
    """The container's answer: the verbose form, or a refusal."""
    try:
        pixel = Image.open(io.BytesIO(body)).convert("RGB").getpixel((0, 0))
    except OSError:
        return 400, {"error": {"code": "not_an_image", "message": "the body holds no image that can be read"}}
    label = {(255, 0, 0): "red", (0, 0, 255): "blue"}[pixel]  # type: ignore[index]
    probability = {"red": 0.9, "blue": 0.6}[label]
    prediction = {
        "label": label,
        "index": 0,
        "probability": probability,
        "threshold": 0.75,
        "accepted": probability >= 0.75,
        "ranked": [{"label": label, "probability": probability}, {"label": "green", "probability": 1 - probability}],
    }
    return 200, {"predictions": [prediction], "model": {"name": "imgpipe-dev-v3-0a1b2c3d", "precision": "fp32"}}


@pytest.fixture
def endpoint(home: Path) -> Iterator[Endpoint]:
    """A server on loopback, recorded as the local endpoint of dev."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.asked.append({name.lower(): value for name, value in self.headers.items()})
            if other := found.before.get(len(found.asked)):
                other(self)
                return
            status, content = answer_to(body)
            headers = {"Content-Type": "application/json"}
            if self.path != f"/endpoints/{NAME}/invocations":
                status, headers["X-Amzn-ErrorType"] = 400, "ValidationError"
                content = {"Message": f"Endpoint {self.path.split('/')[2]} of account 123456789012 not found."}
            elif status != 200:
                original, headers["X-Amzn-ErrorType"] = json.dumps(content), "ModelError"
                text = f'Received client error ({status}) from primary with message "{original}". See the log.'
                content = {"Message": text, "OriginalMessage": original, "OriginalStatusCode": status}
                status = 424
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Endpoint(port=server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        record(home, found.port)
        yield found
        server.shutdown()


def record(home: Path, port: int, name: str = NAME) -> None:
    mark = ProcessMark.of(os.getpid())
    EndpointRecord(name=name, host=mark, port=port, token="t").write(endpoint_directory(home, "dev"))


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(imgpipe.local_endpoint, "HOME", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def predict(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`imgpipe predict --local` in this process: exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imgpipe", "predict", "--local", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            imgpipe.cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures on two levels, beside what is none."""
    folder = tmp_path / "pictures"
    for name, color in {"b.PNG": "blue", "deep/a.jpeg": "red", ".hidden.png": "red"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), color).save(folder / name, "PNG")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_labels_are_shown_with_bars(endpoint: Endpoint, predict: Command, pictures: Path) -> None:
    red = pictures / "deep" / "a.jpeg"
    code, out, error = predict(red)
    assert (code, error) == (0, "")
    title, *rows = out.splitlines()
    assert title == f"{red}: red (accepted, threshold 0.75)"
    assert [row.split()[:2] for row in rows] == [["red", "0.900"], ["green", "0.100"]]
    assert [row.count("█") for row in rows] == [27, 3]
    [asked] = endpoint.asked
    assert asked["content-type"] == "image/jpeg"
    assert asked["x-amzn-sagemaker-custom-attributes"] == "verbose=true"


def test_what_is_below_its_threshold_is_not_accepted(endpoint: Endpoint, predict: Command, pictures: Path) -> None:
    assert "blue (not accepted, threshold 0.75)" in predict(pictures / "b.PNG")[1]


def test_a_folder_gives_its_images_on_any_level(endpoint: Endpoint, predict: Command, pictures: Path) -> None:
    code, out, _ = predict("--json", pictures)
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["b.PNG", "a.jpeg"]
    assert lines[0] == {
        "image": str(pictures / "b.PNG"),
        "model": "imgpipe-dev-v3-0a1b2c3d",
        "label": "blue",
        "index": 0,
        "probability": 0.6,
        "threshold": 0.75,
        "accepted": False,
        "ranked": [{"label": "blue", "probability": 0.6}, {"label": "green", "probability": 0.4}],
    }


def test_a_file_that_is_named_is_sent_whatever_its_ending(endpoint: Endpoint, predict: Command, pictures: Path) -> None:
    plain = (pictures / "b.PNG").rename(pictures / "picture")
    assert predict(plain)[0] == 0
    assert endpoint.asked[0]["content-type"] == "application/x-image"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_refused_is_said_beside_the_others(
    endpoint: Endpoint, predict: Command, pictures: Path, options: tuple[str, ...]
) -> None:
    (pictures / "a.png").write_text("no image")
    (pictures / "c.png").write_bytes(b"")
    code, out, error = predict(*options, pictures)
    assert (code, error) == (1, "error: 2 of 4 images could not be classified, the reasons are above\n")
    if options:
        found = {Path(line["image"]).name: line for line in map(json.loads, out.splitlines())}
        assert found["a.png"]["error"] == "the body holds no image that can be read"
        assert found["c.png"]["error"] == "the file is empty"
        assert [found[name]["label"] for name in ("b.PNG", "a.jpeg")] == ["blue", "red"]
    else:
        assert f"{pictures / 'a.png'}: the body holds no image that can be read\n" in out
        assert f"{pictures / 'c.png'}: the file is empty\n" in out
        assert "blue (not accepted" in out
        assert "red (accepted" in out
    assert len(endpoint.asked) == 3, "an empty file is not sent"


def refusing(status: int, code: str, message: str) -> Callable[[Any], None]:
    """The service's own error in place of an answer."""

    def answer(handler: Any) -> None:
        content = json.dumps({"Message": message}).encode()
        handler.send_response(status)
        handler.send_header("X-Amzn-ErrorType", code)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ValidationError"), (413, "RequestEntityTooLarge"), (429, "ModelNotReadyException")]
)
def test_an_error_of_one_request_is_said_beside_the_others(
    endpoint: Endpoint, predict: Command, pictures: Path, status: int, code: str
) -> None:
    endpoint.before = {1: refusing(status, code, "not now")}
    result, out, error = predict("--json", pictures)
    found = {Path(line["image"]).name: line for line in map(json.loads, out.splitlines())}
    assert (result, error) == (1, "error: 1 of 2 images could not be classified, the reasons are above\n")
    assert "not now" in found["b.PNG"]["error"]
    assert found["a.jpeg"]["label"] == "red"


def test_a_connection_that_is_cut_is_said_beside_the_others(
    endpoint: Endpoint, predict: Command, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    endpoint.before = {1: lambda handler: None}
    code, out, _ = predict("--json", pictures)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, [line.get("label") for line in lines]) == (1, [None, "red"])
    assert "Connection was closed" in lines[0]["error"]


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDeniedException"), (400, "ExpiredTokenException"), (403, "InvalidSignature")]
)
def test_what_concerns_every_image_ends_the_command(
    endpoint: Endpoint, predict: Command, pictures: Path, status: int, code: str
) -> None:
    endpoint.before = {1: refusing(status, code, "who are you")}
    assert "who are you" in one_line(predict(pictures))
    assert len(endpoint.asked) == 1


def test_a_file_that_is_too_large_is_not_sent(endpoint: Endpoint, predict: Command, pictures: Path) -> None:
    with (pictures / "c.png").open("wb") as file:
        file.truncate(6 * 1024**2 + 1)
    code, out, _ = predict(pictures)
    assert code == 1
    assert f"{pictures / 'c.png'}: the file is larger than 6291456 bytes: send a smaller image\n" in out
    assert len(endpoint.asked) == 2


def test_a_file_that_cannot_be_read_is_said_beside_the_others(
    endpoint: Endpoint, predict: Command, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "b.PNG":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    code, out, _ = predict(pictures)
    assert code == 1
    assert f"{pictures / 'b.PNG'}: {pictures / 'b.PNG'}: Permission denied" in out
    assert "red (accepted" in out


def one_line(result: tuple[int, str, str]) -> str:
    code, out, error = result
    assert (code, out, error.count("\n")) == (1, "", 1)
    return error


def test_without_an_endpoint_the_way_out_is_named(predict: Command, pictures: Path) -> None:
    error = one_line(predict(pictures))
    assert error.startswith("error: no local endpoint runs for environment dev: `imgpipe endpoint --local --start")
    assert "`imgpipe approve VERSION --local` deploys one" in error


def test_an_endpoint_that_has_gone_meanwhile(endpoint: Endpoint, home: Path, predict: Command, pictures: Path) -> None:
    record(home, endpoint.port, name="imgpipe-old")
    assert "error: endpoint imgpipe-old does not exist: approve a version" in one_line(predict(pictures))


def test_a_port_that_nobody_listens_on(endpoint: Endpoint, home: Path, predict: Command, pictures: Path) -> None:
    record(home, 1)
    assert "Could not connect to the endpoint URL" in one_line(predict(pictures / "b.PNG"))


def test_an_unknown_environment(predict: Command, pictures: Path) -> None:
    assert "environment 'nowhere' is unknown: use one of" in one_line(predict("--env", "nowhere", pictures))


@pytest.mark.parametrize(("name", "reason"), [("nowhere.png", "does not exist"), ("texts", "holds no image")])
def test_what_is_no_image_nor_folder_of_some(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    with pytest.raises(CommandError, match=f"{name} {reason}"):
        image_files([tmp_path / name])


def shown(answer: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    print_prediction(console, Prediction(image=Path("a.png"), answer=answer, model="m"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_five_most_probable_labels_are_shown_as_they_are() -> None:
    title, *rows = shown({"label": "[b]label 0", "accepted": None, "threshold": None, "ranked": RANKED})
    assert title == "a.png: [b]label 0", "a model without thresholds accepts nothing and refuses nothing"
    assert [row.split()[1] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[0].strip().startswith("[b]label 0")
    assert [row.count("█") for row in rows] == [15, 8, 3, 3, 2]
