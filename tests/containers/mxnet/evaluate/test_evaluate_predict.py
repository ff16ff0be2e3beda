"""Prediction: every record once, in order, as training reads it; models that do not fit are named."""

import io
import json
import tarfile
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from known_model import SIDE, dataset, flat_png, save_model, save_records, training_content
from PIL import Image

from common.contract import ContainerError
from evaluate.model import load_model
from evaluate.predict import predict

COLOURS = [(200, 20, 20), (20, 200, 20), (20, 20, 200)]
WEIGHTS = [(0.01, 0, 0), (0, 0.01, 0), (0, 0, 0.01)]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 2, 7, 31, 32, 33, 64, 75])
def test_every_record_counts_once_whatever_the_batch(tmp_path: Path, count: int) -> None:
    rows = [(index % 3, flat_png(COLOURS[(index * 2) % 3])) for index in range(count)]
    model = load_model(save_model(tmp_path / "model.tar.gz", WEIGHTS), dataset=dataset())
    found = predict(model, save_records(tmp_path / "test.rec", rows), num_classes=3)
    colours = np.array([COLOURS[(index * 2) % 3] for index in range(count)], np.float64)
    assert found.labels.tolist() == [index % 3 for index in range(count)]
    np.testing.assert_allclose(found.probabilities, softmax(colours @ np.array(WEIGHTS).T), atol=1e-5)


def test_input_is_raw_rgb_and_the_center_crop(tmp_path: Path) -> None:
    picture = np.zeros((SIDE, 2 * SIDE + 4, 3), np.uint8)
    picture[:, SIDE // 2 + 2 : SIDE // 2 + 2 + SIDE] = (250, 100, 10)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    model = load_model(save_model(tmp_path / "model.tar.gz", WEIGHTS), dataset=dataset())
    found = predict(model, save_records(tmp_path / "test.rec", [(0, buffer.getvalue())]), num_classes=3)
    np.testing.assert_allclose(found.probabilities, softmax(np.array([[2.5, 1.0, 0.1]])), atol=1e-5)


def test_the_highest_epoch_counts(tmp_path: Path) -> None:
    swapped = [WEIGHTS[1], WEIGHTS[0], WEIGHTS[2]]
    save_model(tmp_path / "model.tar.gz", swapped, epoch=9)
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS, epoch=12)
    found = predict(
        load_model(path, dataset=dataset()),
        save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0]))]),
        num_classes=3,
    )
    assert found.probabilities.argmax() == 0


def test_what_training_json_calls_the_best_counts(tmp_path: Path) -> None:
    swapped = [WEIGHTS[1], WEIGHTS[0], WEIGHTS[2]]
    records = save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0]))])
    best = training_content(params="image-classification-0009.params")
    save_model(tmp_path / "model.tar.gz", WEIGHTS, epoch=9)
    path = save_model(tmp_path / "model.tar.gz", swapped, epoch=12, training=best)
    model = load_model(path, dataset=dataset())
    assert predict(model, records, num_classes=3).probabilities.argmax() == 0
    assert model.training is not None
    assert model.training.best_params == "image-classification-0009.params"
    other = training_content(params="image-classification-0012.params")
    path = save_model(tmp_path / "model.tar.gz", swapped, epoch=12, training=other)
    assert predict(load_model(path, dataset=dataset()), records, num_classes=3).probabilities.argmax() == 1


def test_a_best_that_is_not_there(tmp_path: Path) -> None:
    best = training_content(params="image-classification-0007.params")
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS, epoch=9, training=best)
    with pytest.raises(ContainerError, match=r"names image-classification-0007.params as the best, it holds .*0009"):
        load_model(path, dataset=dataset())


def test_without_shapes_the_data_set_decides(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS)
    (tmp_path / "artifact/model-shapes.json").unlink()
    with tarfile.open(path, "w:gz") as tar:
        for file in (tmp_path / "artifact").iterdir():
            tar.add(file, arcname=f"./{file.name}")
    assert load_model(path, dataset=dataset()).shape == (3, SIDE, SIDE)


def test_class_counts_that_differ(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS)
    with pytest.raises(ContainerError, match=r"answers \(1, 3\) for one image, dataset.json has 2 classes"):
        load_model(path, dataset=dataset(["a", "b"]))


def test_a_shape_larger_than_the_records(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS, side=16)
    with pytest.raises(ContainerError, match="takes 16x16 images, the records' short side is 8"):
        load_model(path, dataset=dataset())


def test_nan_is_named(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "model.tar.gz", [(float("nan"), 0, 0), *WEIGHTS[1:]]), dataset=dataset())
    records = save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0]))] * 3)
    with pytest.raises(ContainerError, match="NaN or infinity for 3 of 3 test images: training diverged"):
        predict(model, records, num_classes=3)


def test_outputs_that_are_no_probabilities(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS)
    mean = mx.sym.Pooling(mx.sym.Variable("data"), global_pool=True, pool_type="avg", kernel=(1, 1))
    logits = mx.sym.FullyConnected(mx.sym.flatten(mean), num_hidden=3, name="fc")
    logits.save(str(tmp_path / "artifact/image-classification-symbol.json"))
    with tarfile.open(path, "w:gz") as tar:
        for file in (tmp_path / "artifact").iterdir():
            tar.add(file, arcname=file.name)
    model = load_model(path, dataset=dataset())
    with pytest.raises(ContainerError, match="no probabilities"):
        predict(model, save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0]))]), num_classes=3)


@pytest.mark.parametrize(("label", "shown"), [(3.0, "3"), (-1.0, "-1"), (0.5, "0.5")])
def test_labels_that_are_no_class(tmp_path: Path, label: float, shown: str) -> None:
    model = load_model(save_model(tmp_path / "model.tar.gz", WEIGHTS), dataset=dataset())
    records = save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0])), (label, flat_png(COLOURS[0]))])
    with pytest.raises(ContainerError, match=f"label {shown} is no class; allowed are 0 to 2"):
        predict(model, records, num_classes=3)


def test_missing_empty_and_damaged_records(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "model.tar.gz", WEIGHTS), dataset=dataset())
    with pytest.raises(ContainerError, match="does not exist: evaluation needs test images"):
        predict(model, tmp_path / "none.rec", num_classes=3)
    (tmp_path / "empty.rec").write_bytes(b"")
    with pytest.raises(ContainerError, match="holds no records"):
        predict(model, tmp_path / "empty.rec", num_classes=3)
    whole = save_records(tmp_path / "cut.rec", [(0, flat_png(COLOURS[0]))])
    whole.write_bytes(whole.read_bytes()[:-8])
    with pytest.raises(ContainerError, match="damaged at byte 0"):
        predict(model, whole, num_classes=3)
    with pytest.raises(ContainerError, match="MXNet cannot classify the records"):
        predict(model, save_records(tmp_path / "text.rec", [(0, b"no image at all")]), num_classes=3)


def repack(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_archives_that_hold_no_model(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS)
    files = {file.name: file.read_bytes() for file in (tmp_path / "artifact").iterdir()}
    symbol, params, shapes = "image-classification-symbol.json", "image-classification-0001.params", "model-shapes.json"
    cases = {
        "holds 0 files named": {params: files[params]},
        "holds no image-classification-NNNN.params": {symbol: files[symbol], "other-0001.params": files[params]},
        "MXNet cannot read the model": {symbol: b"{}", params: files[params]},
        "cannot read the model": {symbol: files[symbol], params: b"junk" * 10},
        "the parameters lack fc_weight": {
            symbol: files[symbol].replace(b'"fc_weight"', b'"fc_weight_"').replace(b"fc_weight_", b"fc_weight"),
            params: saved(tmp_path, {"arg:fc_bias": mx.nd.zeros(3)}),
        },
        "must be": {**files, shapes: b'[{"name": "other"}]'},
        "is not JSON": {**files, shapes: b"["},
    }
    for reason, members in cases.items():
        with pytest.raises(ContainerError, match=reason):
            load_model(repack(path, **members), dataset=dataset())


def saved(folder: Path, arrays: dict[str, mx.nd.NDArray]) -> bytes:
    mx.nd.save(str(folder / "x.params"), arrays)
    return (folder / "x.params").read_bytes()


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS)
    files = {file.name: file.read_bytes() for file in (tmp_path / "artifact").iterdir()}
    wrong = saved(tmp_path, {"arg:fc_bias": mx.nd.zeros(3), "arg:fc_weight": mx.nd.zeros((3, 5))})
    model = load_model(repack(path, **{**files, "image-classification-0001.params": wrong}), dataset=dataset())
    with pytest.raises(ContainerError, match="MXNet cannot classify"):
        predict(model, save_records(tmp_path / "test.rec", [(0, flat_png(COLOURS[0]))]), num_classes=3)


def test_shapes_are_read_from_the_archive(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.tar.gz", WEIGHTS, side=6)
    assert json.loads((tmp_path / "artifact/model-shapes.json").read_text())[0]["shape"] == [1, 3, 6, 6]
    assert load_model(path, dataset=dataset()).shape == (3, 6, 6)
