"""What a set of images looks like in numbers, to notice later that other images come in; NumPy and Pillow only.

The same file describes the test set when a model is packaged and captured images when an endpoint is watched. Sums over
pixels are whole numbers, and what is written is rounded, so NumPy 1.23 and 2 give equal results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from common.histogram import histogram, rounded

GRID = 4
EMBEDDING_NAME = f"mean-rgb-{GRID}x{GRID}"
EMBEDDING_LENGTH = GRID * GRID * 3
# ITU-R BT.601 luma in thousandths, as Pillow's own conversion to grey weighs the channels.
LUMA = np.array([299, 587, 114], np.int32)
LUMA_SCALE = 1000
# Fixed for all data sets; part of the schema of baseline.json.
EDGES: dict[str, tuple[float, ...]] = {
    "brightness": tuple(range(0, 257, 8)),
    "contrast": tuple(range(0, 129, 4)),
    "width": (0, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192),
    "height": (0, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192),
    "aspect": (0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.45, 1.7, 2, 2.5, 4, 8),
}


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image: mean (brightness) and standard deviation (contrast) of its luma, 0 to 255; pixels; embedding (48)."""

    brightness: float
    contrast: float
    width: int
    height: int
    embedding: npt.NDArray[np.float64]

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height


def image_facts(image: Image.Image) -> ImageFacts:
    """Measure one image of at least 1x1 pixels, of any mode; it is read as RGB."""
    pixels = np.asarray(image.convert("RGB"), np.int32)
    height, width = pixels.shape[:2]
    luma = (pixels @ LUMA).astype(np.int64)
    count = luma.size
    total, squares = int(luma.sum()), int((luma * luma).sum())
    # Whole numbers up to here: the variance of a flat image is exactly 0.
    variance = (count * squares - total * total) / (count * count)
    return ImageFacts(
        brightness=total / count / LUMA_SCALE,
        contrast=variance**0.5 / LUMA_SCALE,
        width=width,
        height=height,
        embedding=_embedding(pixels),
    )


def _embedding(pixels: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Return the mean R, G, B (0 to 1) of each cell of a 4x4 grid, row by row: 48 numbers.

    Cells share a row or column of pixels where the side is no multiple of 4, so that an image of one pixel has 16, too.
    """
    rows, columns = _cells(pixels.shape[0]), _cells(pixels.shape[1])
    cells = [pixels[row, column] for row in rows for column in columns]
    return np.concatenate(
        [cell.sum(axis=(0, 1), dtype=np.int64) / (cell.shape[0] * cell.shape[1] * 255) for cell in cells]
    )


def _cells(side: int) -> list[slice]:
    return [slice(step * side // GRID, -(-(step + 1) * side // GRID)) for step in range(GRID)]


def summarise_images(facts: Iterable[ImageFacts]) -> dict[str, Any]:
    """Return the blocks ``images`` and ``embedding`` of baseline.json for at least one image.

    ``images``: a histogram (see `common.histogram`) of brightness, contrast, width, height and aspect each.
    ``embedding``: ``name``, ``mean`` (48) and sample ``covariance`` (48, 48); the covariance of one image is 0.
    """
    gathered = list(facts)
    values = {name: [getattr(entry, name) for entry in gathered] for name in EDGES}
    vectors = np.stack([entry.embedding for entry in gathered])
    centred = vectors - vectors.mean(axis=0)
    covariance = centred.T @ centred / max(1, len(vectors) - 1)
    return {
        "images": {name: histogram(values[name], edges) for name, edges in EDGES.items()},
        "embedding": {
            "name": EMBEDDING_NAME,
            "mean": [rounded(value) for value in vectors.mean(axis=0)],
            "covariance": [[rounded(value) for value in row] for row in covariance],
        },
    }
