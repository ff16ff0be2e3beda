"""Pictures, their bytes and settings, for the tests of the imaging container."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocess.settings import Settings

Pixels = npt.NDArray[np.uint8]


def gradient(width: int, height: int, *, seed: int = 0) -> Pixels:
    """Return a smooth RGB picture (H, W, 3) in which red, green and blue differ everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    red = 200 + 40 * x / max(width - 1, 1)
    green = 40 + 80 * y / max(height - 1, 1)
    blue = 10 + 40 * (x + y + seed) / max(width + height + seed, 1)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def encoded(pixels: Pixels | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the picture as a file's bytes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def settings(**changes: object) -> Settings:
    """Return small settings with some changed."""
    values: dict[str, object] = {
        "image_size": 16,
        "resize": 16,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "workers": 2,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def noisy(width: int, height: int, *, seed: int = 0) -> Pixels:
    """Return a gradient with noise on it, so that no file of it is small or says the same twice."""
    noise = np.random.default_rng(seed).integers(-8, 9, (height, width, 3))
    return (gradient(width, height, seed=seed).astype(int) + noise).clip(0, 255).astype(np.uint8)


def with_orientation(orientation: int) -> Image.Exif:
    """Return an EXIF block that says only how the picture lies."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def difference(first: Pixels, second: Pixels) -> float:
    """Return the mean absolute difference of two pictures of one shape."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second.astype(int)).mean())
