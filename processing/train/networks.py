"""ResNet v2 symbols for small and large images.

Architecture: He et al., "Identity Mappings in Deep Residual Networks", arXiv:1603.05027; depths and stem by image
size as in MXNet's image classification example, which the built-in algorithm is based on. Node names follow that
example too, so parameters have the names a reader of MXNet models expects.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import mxnet as mx

BATCH_NORM_EPSILON = 2e-5
BATCH_NORM_MOMENTUM = 0.9
# Up to this side a 7x7 stem with stride and pooling would leave too little of the image.
SMALL_SIDE = 32


class Architecture(NamedTuple):
    """Shape of a ResNet: residual units per stage, channels of the stem and of each stage, block kind, depth set."""

    units: tuple[int, ...]
    stem_filters: int
    filters: tuple[int, ...]
    bottleneck: bool
    small_images: bool


def _small(depth: int) -> Architecture:
    per_stage = (depth - 2) // 6
    return Architecture((per_stage,) * 3, 16, (16, 32, 64), bottleneck=False, small_images=True)


def _large(units: tuple[int, ...], *, bottleneck: bool) -> Architecture:
    filters = (256, 512, 1024, 2048) if bottleneck else (64, 128, 256, 512)
    return Architecture(units, 64, filters, bottleneck=bottleneck, small_images=False)


ARCHITECTURES = {
    **{depth: _small(depth) for depth in (20, 32, 44, 56, 110)},
    18: _large((2, 2, 2, 2), bottleneck=False),
    34: _large((3, 4, 6, 3), bottleneck=False),
    50: _large((3, 4, 6, 3), bottleneck=True),
    101: _large((3, 4, 23, 3), bottleneck=True),
    152: _large((3, 8, 36, 3), bottleneck=True),
    200: _large((3, 24, 36, 3), bottleneck=True),
}


def resnet(
    *,
    num_layers: int,
    num_classes: int,
    image_shape: tuple[int, int, int],
    multi_label: bool = False,
    weighted: bool = False,
    precision: str = "float32",
) -> mx.sym.Symbol:
    """Classifier symbol: input `data` (N, 3, H, W) of raw 0..255 RGB, output `softmax_output` (N, num_classes).

    The first batch normalisation standardises the raw pixels, so nothing has to be subtracted outside the graph.
    Any H and W work, because the last pooling is global. The label input is `softmax_label`: (N), and with
    `multi_label`, where each output is the probability of one class for itself, (N, num_classes). `weighted` is for
    training alone: the loss takes the arguments `positive_weight` and `negative_weight` (num_classes). `precision` is
    that of everything between the first batch normalisation and the loss.
    """
    with mx.name.NameManager():  # which counts the nodes without a name from 0, or equal networks would differ
        scores = _scores(ARCHITECTURES[num_layers], num_classes, min(image_shape[1:]), precision)
        return _output(scores, num_classes, multi_label=multi_label, weighted=weighted)


def depth(parameter_names: Iterable[str]) -> int:
    """num_layers of the network that has these parameters: its convolutions outside of shortcuts and the last layer."""
    return sum(bool(re.fullmatch(r"(stage\d+_unit\d+_)?conv\d_weight|fc1_weight", name)) for name in parameter_names)


def _scores(shape: Architecture, num_classes: int, side: int, precision: str) -> mx.sym.Symbol:
    body = _stem(_standardised(precision), shape, side)
    for stage, (units, filters) in enumerate(zip(shape.units, shape.filters, strict=True), start=1):
        for unit in range(1, units + 1):
            stride = 2 if unit == 1 and stage > 1 else 1
            block = _bottleneck if shape.bottleneck else _basic
            body = block(body, f"stage{stage}_unit{unit}", filters, stride, project=unit == 1)
    body = _norm_relu(body, "bn1", "relu1")
    # Not as Pooling, whose gradient comes in a layout that makes it and the normalisation before it slow: together a
    # quarter of a whole step (ResNet-20 at 32x32).
    pooled = mx.sym.mean(body, axis=(2, 3), keepdims=True, name="pool1")
    scores = mx.sym.FullyConnected(mx.sym.Flatten(pooled), num_hidden=num_classes, name="fc1")
    return scores if precision == "float32" else mx.sym.Cast(scores, dtype="float32")


def _output(scores: mx.sym.Symbol, num_classes: int, *, multi_label: bool, weighted: bool) -> mx.sym.Symbol:
    """Probabilities and their loss; of several labels the mean over the classes, as LogisticRegressionOutput has it."""
    if not multi_label:
        return mx.sym.SoftmaxOutput(scores, name="softmax")
    if not weighted:
        return mx.sym.LogisticRegressionOutput(scores, name="softmax")
    label = mx.sym.Variable("softmax_label")
    positive, negative = (
        mx.sym.Variable(name, shape=(1, num_classes)) for name in ("positive_weight", "negative_weight")
    )
    weight = mx.sym.broadcast_mul(label, positive) + mx.sym.broadcast_mul(1 - label, negative)
    # Cross-entropy of a sigmoid, written so that no exponential overflows.
    loss = mx.sym.relu(scores) - scores * label + mx.sym.Activation(-mx.sym.abs(scores), act_type="softrelu")
    probabilities = mx.sym.BlockGrad(mx.sym.sigmoid(scores), name="softmax")
    return mx.sym.Group([probabilities, mx.sym.MakeLoss(weight * loss, grad_scale=1 / num_classes, name="loss")])


def _standardised(precision: str) -> mx.sym.Symbol:
    data = mx.sym.BatchNorm(
        mx.sym.Variable("data"), fix_gamma=True, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM, name="bn_data"
    )
    return data if precision == "float32" else mx.sym.Cast(data, dtype=precision)


def _stem(data: mx.sym.Symbol, shape: Architecture, side: int) -> mx.sym.Symbol:
    if shape.small_images or side <= SMALL_SIDE:
        return _convolution(data, "conv0", shape.stem_filters, kernel=3, stride=1)
    wide = _norm_relu(_convolution(data, "conv0", shape.stem_filters, kernel=7, stride=2), "bn0", "relu0")
    return mx.sym.Pooling(wide, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="pool0")


def _basic(data: mx.sym.Symbol, name: str, filters: int, stride: int, *, project: bool) -> mx.sym.Symbol:
    """Pre-activation residual unit of two 3x3 convolutions; `project` puts a 1x1 convolution in the shortcut."""
    first = _norm_relu(data, f"{name}_bn1", f"{name}_relu1")
    body = _convolution(first, f"{name}_conv1", filters, kernel=3, stride=stride)
    body = _norm_relu(body, f"{name}_bn2", f"{name}_relu2")
    body = _convolution(body, f"{name}_conv2", filters, kernel=3, stride=1)
    return body + (_convolution(first, f"{name}_sc", filters, kernel=1, stride=stride) if project else data)


def _bottleneck(data: mx.sym.Symbol, name: str, filters: int, stride: int, *, project: bool) -> mx.sym.Symbol:
    """Pre-activation residual unit 1x1, 3x3, 1x1 with a quarter of the channels inside; `project` as in `_basic`."""
    first = _norm_relu(data, f"{name}_bn1", f"{name}_relu1")
    body = _convolution(first, f"{name}_conv1", filters // 4, kernel=1, stride=1)
    body = _norm_relu(body, f"{name}_bn2", f"{name}_relu2")
    body = _convolution(body, f"{name}_conv2", filters // 4, kernel=3, stride=stride)
    body = _norm_relu(body, f"{name}_bn3", f"{name}_relu3")
    body = _convolution(body, f"{name}_conv3", filters, kernel=1, stride=1)
    return body + (_convolution(first, f"{name}_sc", filters, kernel=1, stride=stride) if project else data)


def _norm_relu(data: mx.sym.Symbol, norm: str, relu: str) -> mx.sym.Symbol:
    data = mx.sym.BatchNorm(data, fix_gamma=False, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM, name=norm)
    return mx.sym.Activation(data, act_type="relu", name=relu)


def _convolution(data: mx.sym.Symbol, name: str, filters: int, *, kernel: int, stride: int) -> mx.sym.Symbol:
    return mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(kernel // 2, kernel // 2),
        no_bias=True,
        name=name,
    )
