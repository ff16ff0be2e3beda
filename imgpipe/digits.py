"""The embedded data set: scikit-learn's bundled handwritten digits, written as PNG class folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

# For 1,797 pictures of 8x8 pixels: a small network, enlarged input, minutes on two cores.
PARAMETERS: Final = {
    "ImageSize": "32",
    "NumLayers": "20",
    "RecordFormat": "png",
    "Epochs": "12",
    "MiniBatchSize": "32",
    "LearningRate": "0.05",
    "AccuracyThreshold": "0.95",
}
_BRIGHTEST = 16  # the data set's grey levels run from 0 to 16


def write_digits(directory: Path) -> Path:
    """Writes the 1,797 digits below `directory`, ten class folders, unless they are there; returns `directory`."""
    if directory.is_dir():
        return directory
    import cv2  # late: both libraries take time to import
    from sklearn.datasets import load_digits

    digits = load_digits()
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = partial / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (image * (255 / _BRIGHTEST)).round().astype("uint8")
        (folder / f"{number:04d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    partial.rename(directory)
    return directory
