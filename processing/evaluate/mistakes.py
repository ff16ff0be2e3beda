"""The test images that the model got wrong most confidently, ready to be shown."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from common.lists import read_list
from common.recordio import read_records
from evaluate.predict import Predictions

SHOWN = 24
THUMBNAIL_SIDE = 192
THUMBNAIL_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrongly classified image; ``confidence`` is the wrong class's probability, ``chance`` the true one's."""

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
    """Return up to ``shown`` mistakes by falling confidence; ``listing`` (.lst) has the source files."""
    labels, probabilities = predictions.labels, predictions.probabilities
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:shown].tolist()
    paths = read_list(listing) if chosen and listing.is_file() else {}
    images = _images(records, set(chosen), paths)
    return [
        Mistake(
            data_uri=images[position][0],
            side=images[position][1],
            path=images[position][2],
            truth=classes[labels[position]],
            predicted=classes[predicted[position]],
            confidence=float(confidence[position]),
            chance=float(probabilities[position, labels[position]]),
        )
        for position in chosen
    ]


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
