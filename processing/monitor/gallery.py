"""Keeps the few images of a window that are worth a look, and draws them small."""

from __future__ import annotations

import base64
import heapq
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SHOWN = 12
THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 82
# Up to this side a thumbnail keeps every pixel as it is.
SMALL_SIDE = 64

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image with what was said of it; ``unusual`` is its distance from the test images, ``truth`` may be empty."""

    data_uri: str
    side: int
    label: str
    confidence: float
    truth: str
    unusual: float
    time: str
    place: str


class Shortlist:
    """The SHOWN entries of the largest rank; of equal ones those that came first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int]] = []
        self._kept: dict[int, tuple[Pixels, int]] = {}
        self._order = 0

    def offer(self, rank: float, pixels: Pixels, position: int) -> None:
        """Keep the image of the sample at ``position`` if it ranks high enough."""
        self._order += 1
        entry = (rank, -self._order, position)
        if len(self._heap) == SHOWN and entry <= self._heap[0]:
            return
        self._kept[position] = (thumbnail(pixels), max(pixels.shape[:2]))
        if len(self._heap) < SHOWN:
            heapq.heappush(self._heap, entry)
        else:
            del self._kept[heapq.heapreplace(self._heap, entry)[2]]

    def ranked(self) -> list[tuple[int, str, int]]:
        """Return position, data URI and longest side in pixels of what was kept, the largest rank first."""
        order = [position for _, _, position in sorted(self._heap, reverse=True)]
        return [(position, _data_uri(self._kept[position][0]), self._kept[position][1]) for position in order]


def thumbnail(pixels: Pixels) -> Pixels:
    """Return RGB pixels with a longest side of THUMBNAIL_SIDE at most."""
    if max(pixels.shape[:2]) <= THUMBNAIL_SIDE:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _data_uri(pixels: Pixels) -> str:
    buffer, small = io.BytesIO(), max(pixels.shape[:2]) <= SMALL_SIDE
    options = {} if small else {"quality": THUMBNAIL_QUALITY}
    Image.fromarray(pixels).save(buffer, "PNG" if small else "JPEG", **options)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
