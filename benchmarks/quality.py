"""How close packed images are to what Pillow makes of the whole file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.records import images

_PEAK = 255.0


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Mean PSNR in dB and mean size in bytes of the records of one file."""

    psnr: float
    bytes_per_record: float


def quality(records: Path, source: Path) -> Quality:
    """Compare every record with its file below ``source``, decoded whole and scaled by Lanczos to the record's size."""
    ratios, sizes = [], []
    for name, data in images(records):
        with Image.open(io.BytesIO(data)) as packed, Image.open(source / name) as original:
            reference = original.convert("RGB").resize(packed.size, Image.Resampling.LANCZOS)
            ratios.append(psnr(packed.convert("RGB"), reference))
        sizes.append(len(data))
    return Quality(psnr=float(np.mean(ratios)), bytes_per_record=float(np.mean(sizes)))


def psnr(picture: Image.Image, reference: Image.Image) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples; infinite where both are equal."""
    difference = np.asarray(picture, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    error = float(np.mean(difference**2))
    return 10 * float(np.log10(_PEAK**2 / error)) if error else float("inf")
