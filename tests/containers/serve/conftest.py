"""Small networks, made once, and a server that most tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import REPOSITORY, Served, serving, write_model

MAKER = Path(__file__).with_name("make_model.py")


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small networks; onnx, which writes them, is in MXNet's environment only."""
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet and onnx: run make setup or set IMGPIPE_MXNET_PYTHON")
    folder = tmp_path_factory.mktemp("networks")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([interpreter, MAKER, folder], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def colors(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a model that calls pictures red, green or blue."""
    root = tmp_path_factory.mktemp("colors")
    write_model(root / "model", networks / "colors.onnx")
    return root


@pytest.fixture(scope="module")
def server(colors: Path) -> Iterator[Served]:
    """Serve it, with a limit of 64 KiB a request."""
    with serving(colors, IMGPIPE_MAX_PAYLOAD_BYTES="65536", IMGPIPE_MODEL_NAME="colors-v7") as served:
        yield served
