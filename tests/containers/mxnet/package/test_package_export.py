"""Export: the trainer's networks and what MXNet's exporter gets wrong, against MXNet itself on random weights."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import onnx
import pytest

from common.contract import ContainerError
from evaluate.model import Model
from package.onnx_export import export
from package.onnx_model import OnnxModel
from train.networks import resnet

CLASSES = 5


def with_weights(symbol: mx.sym.Symbol, side: int) -> Model:
    """A model with random weights whose scores stay in a range where a probability tells something."""
    random = np.random.default_rng(0)
    shapes, _, auxiliary_shapes = symbol.infer_shape(data=(1, 3, side, side))
    arguments = {
        name: mx.nd.array(_values(random, name, shape))
        for name, shape in zip(symbol.list_arguments(), shapes, strict=True)
        if name != "data" and "label" not in name
    }
    auxiliary = {
        name: mx.nd.array(_values(random, name, shape))
        for name, shape in zip(symbol.list_auxiliary_states(), auxiliary_shapes, strict=True)
    }
    if "bn_data_moving_mean" in auxiliary:
        auxiliary |= {"bn_data_moving_mean": mx.nd.full(3, 127), "bn_data_moving_var": mx.nd.full(3, 5000)}
    return Model(
        symbol=symbol, arguments=arguments, auxiliary=auxiliary, shape=(3, side, side), output="", training=None
    )


def _values(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.startswith("fc"):
        return random.normal(0, 0.02, shape)
    if "gamma" in name or "var" in name:
        return random.uniform(0.5, 1.5, shape)
    return random.normal(0, np.sqrt(1 / np.prod(shape[1:])) if len(shape) > 1 else 0.1, shape)


def by_mxnet(model: Model, images: np.ndarray) -> np.ndarray:
    executor = model.symbol.simple_bind(mx.cpu(), grad_req="null", data=images.shape)
    executor.copy_params_from(model.arguments, model.auxiliary)
    return executor.forward(is_train=False, data=mx.nd.array(images))[0].asnumpy()


def assert_equal_answers(model: Model) -> bytes:
    """Export, and compare the answers to three batch sizes."""
    content = export(model)
    found = OnnxModel(content)
    assert found.shape == model.shape
    for count in (1, 2, 5):
        images = np.random.default_rng(count).uniform(0, 255, (count, *model.shape)).astype(np.float32)
        expected = by_mxnet(model, images)
        assert 0.001 < expected.min() < expected.max() < 0.999
        np.testing.assert_allclose(found.probabilities(images), expected, atol=2e-6)
    return content


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(("num_layers", "side"), [(20, 32), (44, 20), (18, 32), (18, 48), (50, 40)])
def test_networks_of_the_trainer(num_layers: int, side: int, *, multi_label: bool) -> None:
    shape = (3, side, side)
    symbol = resnet(num_layers=num_layers, num_classes=CLASSES, image_shape=shape, multi_label=multi_label)
    assert_equal_answers(with_weights(symbol, side))


def test_only_the_images_are_an_input_and_no_weight_is_left_over() -> None:
    model = with_weights(resnet(num_layers=20, num_classes=CLASSES, image_shape=(3, 20, 20)), 20)
    exported = onnx.load_from_string(export(model))
    assert [entry.name for entry in exported.graph.input] == ["data"]
    dimensions = exported.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, [entry.dim_value for entry in dimensions[1:]]) == ("batch", [3, 20, 20])
    (output,) = exported.graph.output
    assert [entry.dim_param or entry.dim_value for entry in output.type.tensor_type.shape.dim] == ["batch", CLASSES]
    taken = {name for node in exported.graph.node for name in node.input}
    assert {tensor.name for tensor in exported.graph.initializer} <= taken
    assert [(entry.domain, entry.version) for entry in exported.opset_import] == [("", 13)]
    assert export(model) == exported.SerializeToString(deterministic=True)


def _network(scores: mx.sym.Symbol) -> mx.sym.Symbol:
    return mx.sym.SoftmaxOutput(scores, name="softmax")


def _data() -> mx.sym.Symbol:
    return mx.sym.Variable("data") / 255


def test_a_scale_that_is_fixed_counts_as_one() -> None:
    norm = mx.sym.BatchNorm(_data(), name="bn_fixed")  # fix_gamma is the default
    model = with_weights(_network(mx.sym.FullyConnected(norm, num_hidden=CLASSES, name="fc")), 8)
    assert not np.allclose(model.arguments["bn_fixed_gamma"].asnumpy(), 1)
    assert_equal_answers(model)


def test_a_dense_layer_flattens_by_default() -> None:
    assert_equal_answers(with_weights(_network(mx.sym.FullyConnected(_data(), num_hidden=CLASSES, name="fc")), 8))


def test_the_pooling_of_the_built_in_image() -> None:
    convolved = mx.sym.Convolution(mx.sym.identity(_data()), kernel=(3, 3), pad=(1, 1), num_filter=4, name="conv0")
    pooled = mx.sym.Pooling(convolved, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    scores = mx.sym.FullyConnected(mx.sym.Flatten(pooled), num_hidden=CLASSES, name="fc")
    assert_equal_answers(with_weights(_network(scores), 8))


def test_probabilities_without_a_loss() -> None:
    scores = mx.sym.FullyConnected(_data(), num_hidden=CLASSES, name="fc")
    for output in (mx.sym.softmax(scores), mx.sym.SoftmaxActivation(scores), mx.sym.sigmoid(scores)):
        assert_equal_answers(with_weights(mx.sym.BlockGrad(output), 8))


def test_an_operator_that_cannot_be_exported() -> None:
    data = _data()
    scores = mx.sym.FullyConnected(mx.sym.Correlation(data, data), num_hidden=CLASSES, name="fc")
    with pytest.raises(ContainerError, match=r"cannot be written as ONNX: .* Correlation"):
        export(with_weights(_network(scores), 8))
