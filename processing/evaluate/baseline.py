"""baseline.json: what the test set looks like and how the model answers on it, for noticing drift later."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from common.contract import ContainerError
from common.dataset import Dataset
from common.image_statistics import ImageFacts, image_facts, summarise_images
from common.prediction_statistics import summarise_predictions
from common.recordio import Record, read_records
from evaluate.predict import Predictions

SCHEMA_VERSION = 1


def baseline(predictions: Predictions, records: Path, dataset: Dataset) -> dict[str, Any]:
    """Return the content of baseline.json, schema 1.

    - ``num_images``, ``classes`` in label order, and ``resize``: the short side in pixels of the stored images, to
      which other images have to be brought before they are compared.
    - ``predictions``: see `common.prediction_statistics.summarise_predictions`.
    - ``images`` and ``embedding``: see `common.image_statistics.summarise_images`.
    """
    facts = (_facts(record, records) for record in read_records(records))
    return {
        "schema_version": SCHEMA_VERSION,
        "num_images": len(predictions.labels),
        "classes": dataset.classes,
        "resize": dataset.resize,
        "predictions": summarise_predictions(predictions.chosen, predictions.probabilities.max(axis=1)),
        **summarise_images(facts),
    }


def _facts(record: Record, records: Path) -> ImageFacts:
    try:
        with Image.open(io.BytesIO(record.payload), formats=["JPEG", "PNG"]) as image:
            return image_facts(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ContainerError(f"{records}: Pillow cannot read the image at byte {record.offset}: {error}") from None
