"""The smoke test: a packaged model answers its own sample through the real server, or the step fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from served import PATIENCE_SECONDS, REPOSITORY, sample, write_archive, write_model


def smoke_test(root: Path) -> tuple[int, str]:
    """Run the container's program; returns the exit code and the reason of a failure."""
    environment = os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(REPOSITORY / "processing")}
    done = subprocess.run(
        [sys.executable, "-m", "serve.smoke_test"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    message = root / "output" / "message"
    return done.returncode, message.read_text() if message.is_file() else ""


def package(root: Path, network: Path, content: Any = None, **changes: Any) -> None:
    folder = write_model(root / "files", network, **changes)
    if content is not None:
        (folder / "sample.json").write_text(json.dumps(content))
    write_archive(folder, root / "processing" / "input" / "serving" / "model.tar.gz")


def test_a_right_model_passes(networks: Path, tmp_path: Path) -> None:
    package(tmp_path, networks / "colors.onnx")
    assert smoke_test(tmp_path) == (0, "")
    content = json.loads((tmp_path / "processing" / "output" / "smoke_test" / "smoke_test.json").read_text())
    assert (content["label"], content["precision"]) == ("blue", "fp32")
    assert content["probability"] == pytest.approx(content["expected_probability"], abs=0.01)
    assert content["seconds_to_ready"] > 0
    assert content["latency_seconds"] > 0


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (sample(label="red"), "the sample is 'red', the server calls it 'blue'"),
        (sample(probability=0.5), "a probability of 0.9999, packaging got 0.5000"),
        (sample() | {"body": "[]"}, "the server answered the sample with 400"),
        (sample() | {"content_type": "text/csv"}, "the server answered the sample with 415"),
        ({}, "sample.json is malformed ('content_type')"),
        ([], "sample.json is malformed"),
    ],
)
def test_a_wrong_sample_fails(networks: Path, tmp_path: Path, content: Any, part: str) -> None:
    package(tmp_path, networks / "colors.onnx", content)
    code, reason = smoke_test(tmp_path)
    assert code == 1
    assert part in reason
    assert not (tmp_path / "processing" / "output" / "smoke_test" / "smoke_test.json").exists()


def test_a_model_that_cannot_be_served_fails_with_the_servers_reason(networks: Path, tmp_path: Path) -> None:
    package(tmp_path, networks / "pairs.onnx")
    code, reason = smoke_test(tmp_path)
    assert code == 1
    assert "the server did not start: error: " in reason
    assert "answers (1, 2) for one image, labels.json names 3 classes" in reason


def test_no_model_at_all(tmp_path: Path) -> None:
    code, reason = smoke_test(tmp_path)
    assert code == 1
    assert "model.tar.gz does not exist" in reason


def test_an_archive_without_a_sample(networks: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "files", networks / "colors.onnx")
    (folder / "sample.json").unlink()
    write_archive(folder, tmp_path / "processing" / "input" / "serving" / "model.tar.gz")
    code, reason = smoke_test(tmp_path)
    assert code == 1
    assert "holds no sample.json" in reason
