"""Folders of pictures, real images, and MXNet as a reader, for the tests of the imaging container."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import Pixels, encoded, gradient

REPOSITORY = Path(__file__).parents[3]
# For programs that are run as the image runs them; in this process pytest's own settings do it.
os.environ["PYTHONPATH"] = str(REPOSITORY / "processing")
READER = Path(__file__).with_name("read_with_mxnet.py")

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Make a data folder of PNG class folders; every picture differs."""

    def make(name: str = "data", **counts: int) -> Path:
        root = tmp_path / name
        for class_index, (class_name, count) in enumerate(counts.items()):
            (root / class_name).mkdir(parents=True)
            for number in range(count):
                pixels = gradient(20 + number % 3, 18, seed=7 * number + 91 * class_index)
                (root / class_name / f"{number:03}.png").write_bytes(encoded(pixels))
        return root

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images, which are not part of the repository."""
    path = Path(os.environ.get("IMGPIPE_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip("needs the real test images: set IMGPIPE_TEST_DATA to their folder")
    return path


@pytest.fixture(scope="session")
def read_with_mxnet() -> Callable[..., tuple[Pixels, list[int]]]:
    """Read a .rec file as the trainer does, in MXNet's own environment: pixels (n, H, W, 3) and labels."""
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet: run make setup or set IMGPIPE_MXNET_PYTHON")

    def read(records: Path, *, side: int, batch_size: int = 8) -> tuple[Pixels, list[int]]:
        output = records.with_suffix(".npz")
        command = [str(interpreter), str(READER), str(records), str(side), str(batch_size), str(output)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(output) as loaded:
            return loaded["pixels"], loaded["labels"].astype(int).tolist()

    return read
