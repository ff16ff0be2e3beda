"""Packaged models and the server's program as a process, for the tests of the serving container."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).parents[3]
PATIENCE_SECONDS = 60
CLASSES = ["red", "green", "blue"]
SIDE, RESIZE = 16, 20
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def picture(color: str = "red", *, width: int = 40, height: int = 30) -> Image.Image:
    """Return a picture of one colour with some noise in it."""
    pixels = np.random.default_rng(width).integers(0, 40, (height, width, 3), dtype=np.uint8)
    pixels[:, :, CLASSES.index(color)] += 200
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def listed(*images: bytes) -> bytes:
    """Return images as the JSON list of a request."""
    return json.dumps([base64.b64encode(image).decode() for image in images]).encode()


def facts(**changes: Any) -> dict[str, Any]:
    """Return a model.json."""
    return {
        "schema_version": 1,
        "image_shape": [3, SIDE, SIDE],
        "resize": RESIZE,
        "crop": "none",
        "classes": 3,
        "multi_label": False,
        "precision": "fp32",
        "thresholds": {"overall": 0.9, "per_class": [0.99, None, None]},
        "content_hash": "c" * 64,
        "training_artifact_sha256": "a" * 64,
        "accuracy": 1.0,
    } | changes


def sample(probability: float = 0.9999, label: str = "blue") -> dict[str, Any]:
    """Return a sample.json; the picture is blue."""
    body = listed(encoded(picture("blue"))).decode()
    content = {"schema_version": 1, "content_type": "application/json", "body": body}
    return content | {"label": label, "index": CLASSES.index(label), "probability": probability}


def write_model(folder: Path, network: Path, *, labels: Any = None, **changes: Any) -> Path:
    """Write a packaged model's files; ``changes`` are fields of model.json."""
    folder.mkdir(parents=True)
    shutil.copyfile(network, folder / "model.onnx")
    contents = {"labels.json": labels or CLASSES, "model.json": facts(**changes), "sample.json": sample()}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def write_archive(folder: Path, archive: Path) -> Path:
    """Pack a model's folder as model.tar.gz."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return archive


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.content["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.content["error"]["message"])


class Served:
    """A running server: its process and port, and what it has logged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A pipe that nobody reads fills up, and then its writer waits.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.next_line("listening")["port"])

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(status=response.status, headers=dict(response.getheaders()), body=response.read())
        finally:
            connection.close()

    def classify(self, body: Any, content_type: str = "application/x-image", **headers: str) -> Answer:
        """Send a body to /invocations."""
        return self.ask("POST", "/invocations", body, Content_Type=content_type, **headers)

    def verbose(self, body: Any, content_type: str = "application/x-image") -> Any:
        """Send a body and ask for names."""
        answer = self.classify(body, content_type, **{ATTRIBUTES: "verbose=true"})
        assert answer.status == 200, answer.body
        return answer.content

    def next_line(self, event: str) -> dict[str, Any]:
        """Return the next log line of a kind, and drop those before it."""
        while line := self.lines.get(timeout=PATIENCE_SECONDS):
            content: dict[str, Any] = json.loads(line)
            if content["event"] == event:
                return content
        raise AssertionError(f"the server ended with {self.process.wait()} before it logged {event}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """End it however it stands."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


def start(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the container's program on any free port of this machine."""
    left_out = ("IMGPIPE_", "SAGEMAKER_", "ML_ROOT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    own = {"ML_ROOT": str(root), "SAGEMAKER_BIND_TO_PORT": "0", "PYTHONPATH": str(REPOSITORY / "processing")}
    command = [sys.executable, "-m", "serve", "serve", "--host", "127.0.0.1", *arguments]
    return subprocess.Popen(
        command, env=kept | own | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def failure(root: Path, *arguments: str, **environment: str) -> str:
    """Run the program, which cannot start, and return the reason: its one line of standard error."""
    process = start(root, *arguments, **environment)
    _, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, error
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    return error


@contextmanager
def serving(root: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """Serve the model in ``root``/model while open."""
    served = Served(start(root, *arguments, **environment))
    try:
        yield served
    finally:
        served.close()
