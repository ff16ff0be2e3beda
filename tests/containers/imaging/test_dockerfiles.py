"""The container images: linted always, built and run where buildah can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded

ROOT = Path(__file__).parents[3]
IMAGES = ["imaging", "mxnet", "serve"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_dockerfile_is_clean(image: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, f"processing/containers/{image}/Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.fixture(scope="module")
def built() -> None:
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"building the images needs root, buildah and debootstrap (missing: {', '.join(missing) or 'root'})"
        )
    subprocess.run([ROOT / "scripts" / "build-images", *IMAGES], check=True, capture_output=True)


def _run_in(image: str, *command: str, volume: Path | None = None) -> subprocess.CompletedProcess[str]:
    container = subprocess.run(
        ["buildah", "from", f"localhost/imgpipe-{image}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        mount = [f"--volume={volume}:/opt/ml"] if volume else []
        arguments = ["buildah", "run", "--isolation=chroot", *mount, container, "--", *command]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["buildah", "rm", container], check=True, capture_output=True)


def _class_folders(directory: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("left", "right"):
        (directory / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            (directory / name / f"{number}.png").write_bytes(encoded(pixels))


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_the_container_packs_the_same_bytes_as_the_plain_process(tmp_path: Path) -> None:
    arguments = ["-m", "preprocess", "--image-size", "16", "--record-format", "png"]
    for root in ("container", "process"):
        _class_folders(tmp_path / root / "processing" / "input" / "data")
    done = _run_in("imaging", "python", *arguments, volume=tmp_path / "container")
    assert done.returncode == 0, done.stderr
    environment = os.environ | {"ML_ROOT": str(tmp_path / "process"), "PYTHONPATH": str(ROOT / "processing")}
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    records = sorted(path.relative_to(tmp_path / "process") for path in (tmp_path / "process").rglob("*.rec"))
    assert len(records) == 3
    for record in records:
        assert (tmp_path / "container" / record).read_bytes() == (tmp_path / "process" / record).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_the_trainers_container_starts_as_sagemaker_starts_it(tmp_path: Path) -> None:
    done = _run_in("mxnet", "python", "-m", "train", "train", volume=tmp_path)
    assert done.returncode == 1
    assert "hyperparameters.json" in (tmp_path / "output" / "failure").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_the_endpoints_container_starts_as_sagemaker_starts_it(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    done = _run_in("serve", "python", "-m", "serve", "serve", volume=tmp_path)
    assert done.returncode == 1
    assert "/opt/ml/model holds no model.onnx, model.json, labels.json" in done.stderr
    described = subprocess.run(
        ["buildah", "inspect", "--type", "image", "localhost/imgpipe-serve"], check=True, capture_output=True, text=True
    )
    assert "com.amazonaws.sagemaker.capabilities.accept-bind-to-port" in described.stdout
