"""Chooses the test record that a smoke test sends to a container before it gets any traffic."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.contract import ContainerError
from common.recordio import read_records
from evaluate.predict import Predictions
from package.onnx_model import OnnxModel
from package.reencode import centre_crop, smaller_image

SCHEMA_VERSION = 1
CONTENT_TYPE = "application/json"
# The request is a part of a state machine's state, which holds 256 KiB.
LARGEST_BODY_BYTES = 128 * 1024
# Four characters for three bytes, with brackets and quotation marks around them.
LARGEST_IMAGE_BYTES = (LARGEST_BODY_BYTES - 16) * 3 // 4
CANDIDATES = 16


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A request body, a JSON list of one base64 image, with the class ``index`` and its probability as the answer."""

    body: str
    index: int
    probability: float

    def content(self, classes: list[str]) -> dict[str, Any]:
        """Return the content of sample.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "content_type": CONTENT_TYPE,
            "body": self.body,
            "label": classes[self.index],
            "index": self.index,
            "probability": self.probability,
        }


def choose_sample(trained: Predictions, served: Predictions, records: Path, *, model: OnnxModel) -> Sample:
    """Return the record that the trained and the served model, ``model``, both get right most confidently.

    The answer is the most probable class, of several right ones too. A record too large for a request is encoded anew
    and taken if the served model still answers so. ContainerError where no record will do.
    """
    order, indices = _most_confident(trained, served)
    payloads = _payloads(records, set(order))
    for place in order:
        index = int(indices[place])
        if len(payloads[place]) <= LARGEST_IMAGE_BYTES:
            return _sample(payloads[place], index, served.probabilities[place, index])
        smaller = smaller_image(payloads[place], limit=LARGEST_IMAGE_BYTES)
        if smaller is None:
            continue
        (answer,) = model.probabilities(centre_crop(smaller, model.shape))
        if answer.argmax() == index:
            return _sample(smaller, index, answer[index])
    why = (
        f"the {len(order)} surest do not fit into {LARGEST_BODY_BYTES} bytes; pack smaller images"
        if order
        else f"the trained and the served model get none of {len(indices)} right; train a better model"
    )
    raise ContainerError(f"{records.name} has no record for the smoke test of a container: {why}")


def _most_confident(trained: Predictions, served: Predictions) -> tuple[list[int], Any]:
    """Return the places of up to CANDIDATES right records, surest first, and every record's most probable class."""
    indices = served.probabilities.argmax(axis=1)
    rows = np.arange(len(indices))
    confidence = np.minimum(trained.probabilities[rows, indices], served.probabilities[rows, indices])
    # An image of none of the classes can be answered right as well, but shows no class.
    usable = trained.correct & served.correct & served.truth[rows, indices]
    order = [place for place in np.argsort(-confidence, kind="stable").tolist() if usable[place]]
    return order[:CANDIDATES], indices


def _payloads(records: Path, places: set[int]) -> dict[int, bytes]:
    return {place: record.payload for place, record in enumerate(read_records(records)) if place in places}


def _sample(payload: bytes, index: int, probability: float) -> Sample:
    body = json.dumps([base64.b64encode(payload).decode()])
    return Sample(body=body, index=index, probability=float(probability))
