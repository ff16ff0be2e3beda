"""The test images that the model got wrong most confidently, ready to be shown."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from common.lists import read_list
from common.recordio import read_records
from evaluate.predict import Predictions

SHOWN = 24
THUMBNAIL_SIDE = 192
THUMBNAIL_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrongly classified image; ``confidence`` is the wrong answer's probability, ``chance`` the true one's."""

    data_uri: str
    path: str
    truth: str
    predicted: str
    confidence: float
    chance: float
    side: int


def worst_mistakes(
    predictions: Predictions, records: Path, listing: Path, *, classes: list[str], shown: int = SHOWN
) -> list[Mistake]:
    """Return up to ``shown`` mistakes by falling confidence; ``listing`` (.lst) has the source files.

    Where an image may be of several classes, the confidence is that of its surest wrong answer about one of them.
    """
    confidence, chance = _sureness(predictions)
    wrong = np.flatnonzero(~predictions.correct)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:shown].tolist()
    paths = read_list(listing) if chosen and listing.is_file() else {}
    images = _images(records, set(chosen), paths)
    return [
        Mistake(
            data_uri=images[position][0],
            side=images[position][1],
            path=images[position][2],
            truth=_names(predictions.truth[position], classes),
            predicted=_names(predictions.chosen[position], classes),
            confidence=float(confidence[position]),
            chance=float(chance[position]),
        )
        for position in chosen
    ]


def _sureness(predictions: Predictions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (n,) each: the probability of the answer, which may be wrong, and that of the truth."""
    probabilities = predictions.probabilities
    if predictions.multi_label:
        of_answer = np.where(predictions.chosen, probabilities, 1 - probabilities)
        worst = np.where(predictions.chosen == predictions.truth, 0.0, of_answer).max(axis=1)
        return worst, 1 - worst
    return probabilities.max(axis=1), probabilities[predictions.truth]


def _names(which: npt.NDArray[np.bool_], classes: list[str]) -> str:
    return ", ".join(name for name, on in zip(classes, which, strict=True) if on) or "none"


def _images(records: Path, positions: set[int], paths: dict[int, str]) -> dict[int, tuple[str, int, str]]:
    """Return data URI, longest side in pixels and source path of the records at ``positions``."""
    found = {}
    for position, record in enumerate(read_records(records) if positions else ()):
        if position in positions:
            uri, side = _data_uri(record.payload)
            found[position] = (uri, side, paths.get(record.header.id, ""))
    return found


def _data_uri(payload: bytes) -> tuple[str, int]:
    with Image.open(io.BytesIO(payload), formats=["JPEG", "PNG"]) as image:
        kind, side = str(image.format).lower(), max(image.size)
        if side > THUMBNAIL_SIDE:
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
            kind, payload = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(payload).decode()}", side
