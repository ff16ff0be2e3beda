"""`imgpipe serve`: the container's program runs, is reachable, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
MAKER = ROOT / "tests" / "containers" / "serve" / "make_model.py"
PATIENCE_SECONDS = 60
FACTS = {
    "schema_version": 1,
    "image_shape": [3, 16, 16],
    "resize": 16,
    "classes": 3,
    "multi_label": False,
    "precision": "fp32",
    "thresholds": {"overall": None, "per_class": [None, None, None]},
    "training_artifact_sha256": "a" * 64,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or ROOT / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet and onnx: run make setup or set IMGPIPE_MXNET_PYTHON")
    folder = tmp_path_factory.mktemp("model")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([interpreter, MAKER, folder], env=environment, check=True, capture_output=True)
    (folder / "model.json").write_text(json.dumps(FACTS))
    (folder / "labels.json").write_text(json.dumps(["red", "green", "blue"]))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "colors.onnx", "model.onnx")
        for name in ("model.json", "labels.json"):
            tar.add(folder / name, name)
    return folder / "model.tar.gz"


def start(place: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start the command; what it keeps for a while goes below ``place``."""
    place.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "imgpipe", "serve", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place), "PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def running(model: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command and the URL that it prints."""
    process = start(tmp_path / "scratch", "--model", model, "--port", "0")
    assert process.stdout
    try:
        first = process.stdout.readline()
        assert first.startswith("Serving at http://127.0.0.1:")
        yield process, first.split()[2].rstrip(",")
    finally:
        process.terminate()  # not killed: it has a program to end
        process.communicate(timeout=PATIENCE_SECONDS)


def test_it_answers_and_shows_the_request(running: tuple[subprocess.Popen[str], str]) -> None:
    process, url = running
    assert process.stdout
    assert process.stdout.readline().startswith(f"  curl {url} ")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (0, 250, 0)).save(buffer, "PNG")
    request = urllib.request.Request(url, buffer.getvalue(), {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        answer = json.loads(response.read())
    assert answer.index(max(answer)) == 1
    assert process.stdout.readline().startswith("POST /invocations 200 1 images, ")


@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGTERM, 0, ""), (signal.SIGHUP, 0, ""), (signal.SIGINT, 130, "stopped\n")],
)
def test_it_ends_and_leaves_nothing(
    running: tuple[subprocess.Popen[str], str], tmp_path: Path, number: int, code: int, error: str
) -> None:
    process, url = running
    assert list((tmp_path / "scratch").iterdir())
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (code, error)
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        urllib.request.urlopen(url.replace("invocations", "ping"), timeout=PATIENCE_SECONDS)


def failure(place: Path, *arguments: object) -> str:
    process = start(place, *arguments)
    out, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (1, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(place.iterdir()) == []
    return error


def test_a_port_that_is_taken(running: tuple[subprocess.Popen[str], str], model: Path, tmp_path: Path) -> None:
    port = running[1].split(":")[2].partition("/")[0]
    error = failure(tmp_path / "second", "--model", model, "--port", port)
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use; choose another port" in error


def test_a_model_that_is_none(tmp_path: Path) -> None:
    place = tmp_path / "scratch"
    assert "does not exist: give a model version's model.tar.gz" in failure(place, "--model", tmp_path / "model.tar.gz")
    (tmp_path / "text").write_text("text")
    error = failure(place, "--model", tmp_path / "text", "--port", "0")
    assert error == f"error: {tmp_path / 'text'} is no gzip archive: give a model.tar.gz\n"
    with tarfile.open(tmp_path / "trained.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "text", "image-classification-0001.params")
    error = failure(place, "--model", tmp_path / "trained.tar.gz", "--port", "0")
    assert "this is no packaged model; take the model.tar.gz that the Package step wrote" in error
