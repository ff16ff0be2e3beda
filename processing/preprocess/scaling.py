"""Cutting and scaling pixels: which part, which size, and which filter."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from preprocess.errors import UnreadableImage

Pixels = npt.NDArray[np.uint8]

# Pillow's own bound for what may be a decompression bomb; 268 MB as RGB.
MAX_PIXELS = 89_478_485
MAX_JPEG_SIDE = 65_500
# Where one filter begins to beat another, as source side over target side, measured as PSNR against a Lanczos of the
# whole image on photos of 512 and 256 pixels. Cubic 47.3 dB against linear's 45.1 at 1.3, 44.1 against 44.9 at 1.5.
# Linear 43.9 at 1.7, cubic to twice the size and then the mean of 2x2 pixels 47.2 at 2 to 3 times the time, and
# OpenCV's area filter 44.0 at 7 times. At 2.6 the area filter is as good (42.6 against 42.8) and better from there on.
CUBIC_UP_TO, LINEAR_UP_TO, TWO_STEPS_UP_TO = 1.35, 1.55, 2.5
TRANSPOSED = frozenset({5, 6, 7, 8})
MIRRORED = frozenset({2, 3, 6, 7})
UPSIDE_DOWN = frozenset({3, 4, 7, 8})


def resize(pixels: Pixels, *, size: tuple[int, int]) -> Pixels:
    """Scale (H, W, 3) to ``size`` (height, width), with the filter that suits the ratio; the same array if it fits."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    ratio = min(height, width) / min(size)
    if ratio <= CUBIC_UP_TO:
        return _resized(pixels, size, cv2.INTER_CUBIC)
    if ratio <= LINEAR_UP_TO:
        return _resized(pixels, size, cv2.INTER_LINEAR)
    if ratio <= TWO_STEPS_UP_TO:
        pixels = _resized(pixels, (2 * size[0], 2 * size[1]), cv2.INTER_CUBIC)
    return _resized(pixels, size, cv2.INTER_AREA)


def _resized(pixels: Pixels, size: tuple[int, int], method: int) -> Pixels:
    return cv2.resize(pixels, (size[1], size[0]), interpolation=method).astype(np.uint8, copy=False)


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the shorter one ``short_side`` and the other rounded to keep the aspect; 0 keeps."""
    short = min(height, width)
    if short_side in {0, short}:
        return height, width
    if height == short:
        return short_side, (width * short_side + short // 2) // short
    return (height * short_side + short // 2) // short, short_side


def check_size(height: int, width: int, *, short_side: int, square: bool) -> None:
    """Refuse what fits no memory, before or after scaling, or no JPEG; call it before decoding."""
    if height < 1 or width < 1:
        raise UnreadableImage(f"{width}x{height} pixels")
    if height * width > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    side = min(height, width)
    new_height, new_width = scaled_size(side, side, short_side) if square else scaled_size(height, width, short_side)
    if new_height * new_width > MAX_PIXELS or max(new_height, new_width) > MAX_JPEG_SIDE:
        raise UnreadableImage(f"{width}x{height} pixels would become {new_width}x{new_height}: too long for its width")


def cut_square(pixels: Pixels, *, height: int, width: int, orientation: int) -> Pixels:
    """Return the middle square, as a view.

    ``pixels`` show an image of ``height`` x ``width`` that may already be scaled down. Of the upright image
    (long - short) // 2 pixels go at the left or top, as im2rec's --center-crop does.
    """
    spare = abs(height - width)
    margin = spare - spare // 2 if _reversed(orientation, rows=height > width) else spare // 2
    side = min(pixels.shape[:2])
    if height > width:
        start = min(round(margin * pixels.shape[0] / height), pixels.shape[0] - side)
        return pixels[start : start + side]
    start = min(round(margin * pixels.shape[1] / width), pixels.shape[1] - side)
    return pixels[:, start : start + side]


def _reversed(orientation: int, *, rows: bool) -> bool:
    """Whether the stored rows (or columns) run against the upright image's axis that they become."""
    vertical = rows != (orientation in TRANSPOSED)
    return orientation in (UPSIDE_DOWN if vertical else MIRRORED)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the EXIF orientation 1..8, as a view.

    Source: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, tag 0x0112.
    """
    if orientation in TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in MIRRORED:
        pixels = pixels[:, ::-1]
    if orientation in UPSIDE_DOWN:
        pixels = pixels[::-1]
    return pixels
