"""A short fingerprint of how an image looks, equal or nearly so for near duplicates."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

ROWS, COLUMNS = 8, 8
ENOUGH = 64


def difference_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Return the 64-bit difference hash (dHash) of uint8 RGB (H, W, 3): a bit per pair of neighbours of an 8x9 image.

    Bit set: brighter than its left neighbour; the first row's first pair is the highest bit. Scaling and JPEG's losses
    change few of the bits, so that the number of different bits measures how alike two images are.
    Source: https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
    """
    # A sparse grid of pixels is enough for means over a ninth of the width, and saves most of the work.
    step = max(1, min(pixels.shape[:2]) // ENOUGH)
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    gray = cv2.cvtColor(cv2.resize(pixels, (COLUMNS + 1, ROWS), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    bits = gray[:, 1:] > gray[:, :-1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
