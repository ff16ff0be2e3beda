"""The embedded data set: scikit-learn's bundled handwritten digits, written as PNG class folders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

# For 1,797 pictures of 8x8 pixels: a small network, enlarged input, minutes on two cores. A mirrored digit is none.
# An environment that does not offer one of them, or not this value, keeps its own.
PARAMETERS: Final = {
    "ImageSize": "32",
    "NumLayers": "20",
    "RecordFormat": "png",
    "AugmentationType": "none",
    "Epochs": "10",
    "LrSchedulerStep": "6,8",
    "MiniBatchSize": "32",
    "LearningRate": "0.05",
    "WeightDecay": "0.0005",
    "UsePretrainedModel": "0",
    "AccuracyThreshold": "0.97",
}
_BRIGHTEST = 16  # the data set's grey levels run from 0 to 16


def write_digits(directory: Path) -> Path:
    """Writes the 1,797 digits below `directory`, ten class folders, unless they are there; returns `directory`."""
    if directory.is_dir():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as partial:
        _write_pictures(Path(partial) / "complete")
        try:
            (Path(partial) / "complete").rename(directory)
        except OSError:
            if not directory.is_dir():  # else another run was quicker
                raise
    return directory


def _write_pictures(directory: Path) -> None:
    import cv2  # late: both libraries take time to import
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = directory / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (image * (255 / _BRIGHTEST)).round().astype("uint8")
        (folder / f"{number:04d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
