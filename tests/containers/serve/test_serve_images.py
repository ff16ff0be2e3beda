"""An image reaches the network as training read its record: packed, then cut in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from PIL import Image
from served import REPOSITORY, encoded, facts, picture

from preprocess.convert import convert
from preprocess.settings import Settings
from serve import images
from serve.errors import RefusedRequest
from serve.facts import Facts, read_facts

READER = REPOSITORY / "tests" / "containers" / "imaging" / "read_with_mxnet.py"


def facts_of(folder: Path, **changes: Any) -> Facts:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").touch()
    (folder / "labels.json").write_text('["red", "green", "blue"]')
    (folder / "model.json").write_text(json.dumps(facts(**changes)))
    return read_facts(folder)


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


SOURCE = picture("green", width=61, height=44)
SIXTEEN = Image.fromarray((np.arange(61 * 44, dtype=np.uint16) * 20).reshape(44, 61))
FILES = {
    "plain.png": encoded(SOURCE),
    "tall.png": encoded(picture("red", width=33, height=70)),
    "photo.jpg": encoded(picture("blue", width=300, height=200), "JPEG", quality=90),
    "turned.jpg": encoded(SOURCE, "JPEG", exif=with_orientation(6)),
    "mirrored.png": encoded(SOURCE, exif=with_orientation(2)),
    "cmyk.jpg": encoded(SOURCE.convert("CMYK"), "JPEG"),
    "gray.jpg": encoded(SOURCE.convert("L"), "JPEG"),
    "gray.png": encoded(SOURCE.convert("L")),
    "deep.png": encoded(SIXTEEN),
    "alpha.png": encoded(SOURCE.convert("RGBA").rotate(20)),
    "palette.gif": encoded(SOURCE.convert("P"), "GIF"),
    "web.webp": encoded(SOURCE, "WEBP"),
    "progressive.jpg": encoded(SOURCE, "JPEG", progressive=True),
    "tiny.png": encoded(picture("red", width=5, height=4)),
}


def packed(folder: Path, name: str, crop: Literal["none", "square"]) -> np.ndarray:
    """Return the RGB pixels (H, W, 3) of the lossless record that the packer makes of a file."""
    path = folder / name
    path.write_bytes(FILES[name])
    converted = convert(str(path), Settings(image_size=16, resize=20, crop=crop, record_format="png"))
    assert not converted.reason
    return cv2.imdecode(np.frombuffer(converted.payload, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("crop", ["none", "square"])
def test_the_pixels_are_those_of_the_packed_record_cut_in_the_middle(
    tmp_path: Path, name: str, crop: Literal["none", "square"]
) -> None:
    record = packed(tmp_path, name, crop)
    height, width = record.shape[:2]
    assert min(height, width) == 20
    assert (height == width) == (crop == "square")
    top, left = (height - 16) // 2, (width - 16) // 2
    expected = record[top : top + 16, left : left + 16].transpose(2, 0, 1)
    found = images.read_tensor(FILES[name], facts_of(tmp_path / "model", crop=crop))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def test_the_cut_is_the_one_of_mxnets_iterator(tmp_path: Path) -> None:
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet: run make setup or set IMGPIPE_MXNET_PYTHON")
    odd = picture("green", width=41, height=20)  # 25 columns go: 12 on the left, 13 on the right
    for name, image in {"a": odd, "b": picture("red", width=41, height=20)}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "odd.png").write_bytes(encoded(image))
    split = ["--train", "1", "--validation", "0", "--test", "0", "--resize", "20", "--format", "png"]
    command = [sys.executable, "-m", "preprocess.folder", str(tmp_path / "data"), str(tmp_path / "out"), *split]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "processing")}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [str(tmp_path / "out" / "train.rec"), "16", "1", str(tmp_path / "read.npz")]
    subprocess.run([interpreter, READER, *arguments], env=clean, check=True, capture_output=True)
    with np.load(tmp_path / "read.npz") as loaded:
        (record,) = loaded["pixels"][loaded["labels"] == 0]
    found = images.read_tensor(encoded(odd), facts_of(tmp_path / "model"))
    np.testing.assert_array_equal(found.transpose(1, 2, 0), record)


def test_a_colour_profile_is_applied_where_the_packer_did(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = encoded(SOURCE, icc_profile=profile)
    for applied in (False, True):
        served = facts_of(tmp_path / str(applied), convert_icc=applied)
        pixels = images.read_image(data, short_side=20, convert_icc=applied)
        left = (pixels.shape[1] - 16) // 2
        expected = pixels[2:18, left : left + 16].transpose(2, 0, 1)
        np.testing.assert_array_equal(images.read_tensor(data, served), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_of_too_many_pixels_is_not_decoded(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(width=100, height=90), kind)
    monkeypatch.setattr(images, "MAX_PIXELS", 8999)
    monkeypatch.setattr(images, "read_image", None)
    with pytest.raises(RefusedRequest, match=r"100x90 pixels are more than the limit of 8999: scale the image down"):
        images.read_tensor(data, facts_of(tmp_path / "model"))
