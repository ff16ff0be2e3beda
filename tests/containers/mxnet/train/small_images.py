"""Record files of small synthetic images that a network can learn."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from common.recordio import Header, RecordWriter

SIDE = 12
# RGB of each class: far apart, so that a swap of red and blue or a wrong label shows.
COLORS = np.array([(220, 40, 30), (40, 200, 60), (30, 60, 210)])


def image(label: int, seed: int, side: int = SIDE) -> np.ndarray:
    """A noisy square of the class's colour on grey, (side, side, 3) RGB uint8; equal arguments give equal images."""
    random = np.random.default_rng([label, seed])
    pixels = np.full((side, side, 3), 110.0)
    top, left = random.integers(0, side // 3, 2)
    pixels[top : top + side // 2, left : left + side // 2] = COLORS[label]
    return np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """RGB pixels as PNG; OpenCV wants BGR."""
    return cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()


def write_records(path: Path, records: Sequence[tuple[float | tuple[float, ...], bytes]]) -> Path:
    """Write (label or labels, encoded image) as a record file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for number, (label, payload) in enumerate(records):
            labels = label if isinstance(label, tuple) else (label,)
            writer.write(Header(tuple(map(float, labels)), number), payload)
    return path


def samples(count: int, *, classes: int = 3, seed: int = 0, side: int = SIDE) -> list[tuple[float, bytes]]:
    """`count` records with labels 0, 1, 2, 0, 1, ..."""
    return [(index % classes, png(image(index % classes, seed * 10_000 + index, side))) for index in range(count)]
