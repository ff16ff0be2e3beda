"""The drift baseline of a test set whose colours are known."""

from pathlib import Path

import numpy as np
import pytest
from known_model import dataset, flat_png, save_records

from common.contract import ContainerError
from common.files import json_bytes
from evaluate.baseline import baseline
from evaluate.predict import Predictions

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_content_by_hand(tmp_path: Path) -> None:
    records = save_records(tmp_path / "test.rec", [(0, flat_png(WHITE)), (1, flat_png(BLACK, width=12))])
    predictions = Predictions(labels=np.array([0, 1]), probabilities=np.array([[0.97, 0.03], [0.62, 0.38]]))
    content = baseline(predictions, records, dataset(["a", "b"], test=2))
    assert set(content) == {"schema_version", "num_images", "classes", "resize", "predictions", "images", "embedding"}
    assert (content["schema_version"], content["num_images"], content["classes"], content["resize"]) == (
        1,
        2,
        ["a", "b"],
        8,
    )
    assert content["predictions"]["counts"] == [2, 0]
    assert content["predictions"]["shares"] == [1.0, 0.0]
    confidence = content["predictions"]["confidence"]["counts"]
    assert [index for index, count in enumerate(confidence) if count] == [12, 19]
    assert content["images"]["brightness"]["mean"] == 127.5
    assert content["images"]["contrast"]["mean"] == 0
    assert content["images"]["width"]["mean"] == 10
    assert content["images"]["aspect"]["mean"] == 1.25
    assert content["embedding"]["mean"] == [0.5] * 48
    # two vectors of all 1 and all 0: the sample covariance of each pair is 1/2
    assert content["embedding"]["covariance"] == [[0.5] * 48] * 48
    assert json_bytes(content) == json_bytes(baseline(predictions, records, dataset(["a", "b"], test=2)))


def test_several_labels_count_for_each_class(tmp_path: Path) -> None:
    records = save_records(tmp_path / "test.rec", [((1, 1), flat_png(WHITE)), ((0, 0), flat_png(BLACK))])
    predictions = Predictions(labels=np.array([[1, 1], [0, 0]]), probabilities=np.array([[0.9, 0.8], [0.1, 0.7]]))
    content = baseline(predictions, records, dataset(["a", "b"], test=2))
    assert content["predictions"]["counts"] == [1, 2]
    assert content["predictions"]["shares"] == [0.5, 1.0]


def test_an_image_that_pillow_cannot_read(tmp_path: Path) -> None:
    records = save_records(tmp_path / "test.rec", [(0, b"no image")])
    predictions = Predictions(labels=np.array([0]), probabilities=np.array([[1.0, 0.0]]))
    with pytest.raises(ContainerError, match="Pillow cannot read the image at byte 0"):
        baseline(predictions, records, dataset(["a", "b"], test=1))
