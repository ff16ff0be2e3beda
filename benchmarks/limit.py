"""What one core can do: decode, scale and encode in a tight loop, the libraries used directly, nothing else.

A process of its own, pinned to one core: ``python -m benchmarks.limit FOLDER RESIZE QUALITY CORE SECONDS`` prints
images per second for each chroma subsampling of the result.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import simplejpeg

# Enough to be more than the processor's caches hold, few enough to be read in no time.
_FILES = 400


def main(arguments: Sequence[str]) -> None:
    """Print a JSON object: subsampling -> images per second."""
    folder, resize, quality, core, seconds = arguments
    os.sched_setaffinity(0, {int(core)})
    cv2.setNumThreads(1)
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[:_FILES]]
    print(json.dumps({kind: _rate(files, int(resize), int(quality), kind, float(seconds)) for kind in ("420", "444")}))


def _rate(files: Sequence[bytes], resize: int, quality: int, subsampling: str, seconds: float) -> float:
    _one(files[0], resize, quality, subsampling)
    done = 0
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        _one(files[done % len(files)], resize, quality, subsampling)
        done += 1
    return done / passed


def _one(data: bytes, resize: int, quality: int, subsampling: str) -> bytes:
    """Do what im2rec.py does, by the same bilinear scaling, with the faster codec."""
    pixels = simplejpeg.decode_jpeg(data, "RGB")
    height, width = pixels.shape[:2]
    short = min(height, width)
    scaled = cv2.resize(pixels, (width * resize // short, height * resize // short))
    return bytes(simplejpeg.encode_jpeg(scaled, quality=quality, colorspace="RGB", colorsubsampling=subsampling))


if __name__ == "__main__":
    main(sys.argv[1:])
