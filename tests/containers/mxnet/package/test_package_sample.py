"""The sample of a smoke test: right, sure, and small enough for the state of a state machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from digits import write_records
from onnx import TensorProto, helper, numpy_helper

from common.contract import ContainerError
from evaluate.predict import Predictions
from package.onnx_model import OnnxModel, read_images
from package.reencode import centre_crop
from package.sample import LARGEST_BODY_BYTES, Sample, choose_sample

SIDE = 8


@pytest.fixture(scope="module")
def colours() -> OnnxModel:
    """A model that tells which of red, green and blue an image has most of."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["answer"]),
    ]
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 3])]
    scale = numpy_helper.from_array(np.float32(0.05), "scale")
    graph = helper.make_graph(nodes, "colours", inputs, outputs, [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    return OnnxModel(model.SerializeToString())


def png(colour: tuple[int, int, int], *, side: int = SIDE, noise: int = 0) -> bytes:
    """A PNG of one RGB colour; with noise it hardly gets smaller than its pixels."""
    pixels = np.full((side, side, 3), colour, np.int64) + np.random.default_rng(0).integers(
        -noise, noise + 1, (side, side, 3)
    )
    return cv2.imencode(".png", np.clip(pixels, 0, 255).astype(np.uint8)[..., ::-1])[1].tobytes()


def chosen(
    tmp_path: Path,
    model: OnnxModel,
    payloads: Sequence[bytes],
    *,
    labels: Sequence[int] | None = None,
    trained: np.ndarray | None = None,
) -> Sample:
    records = write_records(tmp_path / "test.rec", [([0], payload) for payload in payloads])
    probabilities = np.concatenate([model.probabilities(centre_crop(payload, model.shape)) for payload in payloads])
    truth = np.array(probabilities.argmax(axis=1) if labels is None else labels)
    served = Predictions(labels=truth, probabilities=probabilities)
    before = Predictions(labels=truth, probabilities=probabilities if trained is None else trained)
    return choose_sample(before, served, records, model=model)


def image_of(sample: Sample) -> bytes:
    (encoded,) = json.loads(sample.body)
    return base64.b64decode(encoded)


RED, GREEN, BLUE = (200, 90, 90), (90, 220, 90), (90, 90, 190)


def test_the_surest_right_record(tmp_path: Path, colours: OnnxModel) -> None:
    payloads = [png(RED), png(GREEN), png(BLUE)]
    assert image_of(chosen(tmp_path, colours, payloads)) == payloads[1]
    found = chosen(tmp_path, colours, payloads, labels=[0, 2, 2])
    assert (image_of(found), found.index) == (payloads[0], 0)
    assert found.content(["red", "green", "blue"]) == {
        "schema_version": 1,
        "content_type": "application/json",
        "body": found.body,
        "label": "red",
        "index": 0,
        "probability": found.probability,
    }


def test_the_trained_model_must_be_right_and_sure_too(tmp_path: Path, colours: OnnxModel) -> None:
    payloads = [png(RED), png(GREEN), png(BLUE)]
    trained = np.array([[0.6, 0.2, 0.2], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    assert image_of(chosen(tmp_path, colours, payloads, trained=trained)) == payloads[2]


def test_a_record_that_is_too_large_is_encoded_anew(tmp_path: Path, colours: OnnxModel) -> None:
    large = png(GREEN, side=240, noise=40)
    assert len(large) > LARGEST_BODY_BYTES
    found = chosen(tmp_path, colours, [png(RED), large])
    image = image_of(found)
    assert len(found.body) < LARGEST_BODY_BYTES
    assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape == (240, 240, 3)
    assert found.index == 1
    assert found.probability == colours.probabilities(centre_crop(image, colours.shape))[0, 1] > 0.9


def test_a_record_that_stays_too_large_is_passed_over(tmp_path: Path, colours: OnnxModel) -> None:
    payloads = [png(RED), png(GREEN, side=700, noise=80)]
    assert image_of(chosen(tmp_path, colours, payloads)) == payloads[0]
    with pytest.raises(ContainerError, match=r"the 1 surest do not fit into 131072 bytes"):
        chosen(tmp_path, colours, payloads[1:])


def test_no_record_is_right(tmp_path: Path, colours: OnnxModel) -> None:
    with pytest.raises(ContainerError, match="get none of 2 right; train a better model"):
        chosen(tmp_path, colours, [png(RED), png(GREEN)], labels=[1, 2])


def test_of_several_labels_it_shows_one(tmp_path: Path) -> None:
    """Nothing in the first image, rightly; two in the second, of which the surer one is the answer."""
    records = write_records(tmp_path / "test.rec", [([0, 0], png(RED)), ([1, 1], png(BLUE))])
    answers = Predictions(labels=np.array([[0, 0], [1, 1]]), probabilities=np.array([[0.01, 0.02], [0.7, 0.9]]))
    found = choose_sample(answers, answers, records, model=None)  # type: ignore[arg-type]
    assert (image_of(found), found.index, found.probability) == (png(BLUE), 1, 0.9)


def test_the_crop_is_that_of_mxnet(tmp_path: Path) -> None:
    """Pixels of a lossless record through MXNet's reader and through ours, odd borders included."""
    pixels = np.random.default_rng(1).integers(0, 256, (13, 11, 3)).astype(np.uint8)
    payload = cv2.imencode(".png", pixels)[1].tobytes()
    records = write_records(tmp_path / "test.rec", [([0], payload)])
    ((expected, _),) = read_images(records, (3, SIDE, SIDE), count=1, label_width=1)
    np.testing.assert_array_equal(centre_crop(payload, (3, SIDE, SIDE)), expected)
