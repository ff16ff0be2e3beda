"""An image is built anew when something in it changes, and only then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import aws_cdk as cdk
import pytest

from infra.constructs.container_images import IMAGE_FOLDERS, ContainerImages
from infra.environments import ROOT


def _hashes(processing: Path) -> dict[str, str]:
    """Image name -> asset hash."""
    app = cdk.App()
    stack = cdk.Stack(app, "Images")
    images = ContainerImages(stack, "Images", processing=processing, with_gpu=True)
    assert images.mxnet_gpu
    return {
        "imaging": images.imaging.asset_hash,
        "mxnet": images.mxnet.asset_hash,
        "mxnet_gpu": images.mxnet_gpu.asset_hash,
    }


@pytest.fixture
def processing(tmp_path) -> Path:
    """A copy of processing/ to change."""
    return Path(
        shutil.copytree(ROOT / "processing", tmp_path / "processing", ignore=shutil.ignore_patterns("__pycache__"))
    )


@pytest.mark.parametrize(
    ("changed", "rebuilt"),
    [
        ("train/new_module.py", {"mxnet", "mxnet_gpu"}),
        ("evaluate/new_module.py", {"mxnet", "mxnet_gpu"}),
        ("package/new_module.py", {"mxnet", "mxnet_gpu"}),
        ("preprocess/new_module.py", {"imaging"}),
        ("common/new_module.py", {"imaging", "mxnet", "mxnet_gpu"}),
        ("containers/imaging/Dockerfile", {"imaging"}),
        ("containers/mxnet/Dockerfile", {"mxnet", "mxnet_gpu"}),
        ("common/__pycache__/contract.cpython-313.pyc", set()),
        ("train/__pycache__/__main__.cpython-311.pyc", set()),
        ("serve/later.py", set()),
        ("notes.txt", set()),
    ],
)
def test_only_the_images_that_hold_a_file_change_with_it(processing, changed, rebuilt):
    before = _hashes(processing)
    path = processing / changed
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write("\n# changed\n")
    after = _hashes(processing)
    assert {name for name in before if before[name] != after[name]} == rebuilt


def test_the_hash_does_not_depend_on_the_place(processing):
    assert _hashes(processing) == _hashes(ROOT / "processing")


def test_the_gpu_image_is_another_image(processing):
    hashes = _hashes(processing)
    assert len(set(hashes.values())) == len(hashes) == 3


def test_the_dockerfile_has_the_targets_that_the_assets_take():
    """The image for a CPU names none, so its stage has to be the last."""
    lines = (ROOT / "processing" / "containers" / "mxnet" / "Dockerfile").read_text().splitlines()
    stages = [line.split()[-1] for line in lines if line.startswith("FROM ") and " AS " in line]
    assert "gpu" in stages
    assert stages[-1] == "cpu"


def test_dockerfiles_copy_only_what_the_asset_holds():
    for image, folders in IMAGE_FOLDERS.items():
        for line in (ROOT / "processing" / "containers" / image / "Dockerfile").read_text().splitlines():
            words = line.split()
            if words and words[0] == "COPY" and not any(word.startswith("--from") for word in words):
                sources = [word for word in words[1:-1] if not word.startswith("--")]
                outside = [source for source in sources if not source.startswith(folders)]
                assert not outside, f"containers/{image}/Dockerfile: {line}"


def test_assets_are_listed_in_the_assembly(assembly):
    assets = json.loads((assembly("dev") / "imgpipe-dev-training.assets.json").read_text())
    assert len(assets["dockerImages"]) == len(IMAGE_FOLDERS)
