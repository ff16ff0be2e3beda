"""Shapes, depth and parameter counts of the eleven ResNets."""

import re

import mxnet as mx
import numpy as np
import pytest

from train import networks


def shapes(symbol: mx.sym.Symbol, side: int, batch: int = 2) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    arguments, outputs, _ = symbol.infer_shape(data=(batch, 3, side, side))
    return dict(zip(symbol.list_arguments(), arguments, strict=True)), outputs[0]


def convolutions(names: list[str]) -> int:
    return sum(bool(re.search(r"conv\d_weight$|^conv0_weight$", name)) for name in names)


@pytest.mark.parametrize("depth", [18, 20, 32, 34, 44, 50, 56, 101, 110, 152, 200])
@pytest.mark.parametrize("side", [8, 32, 33, 224])
def test_output_is_one_probability_per_class_at_any_size(depth: int, side: int) -> None:
    symbol = networks.resnet(num_layers=depth, num_classes=7, image_shape=(3, side, side))
    _, output = shapes(symbol, side)
    assert output == (2, 7)
    assert symbol.list_outputs() == ["softmax_output"]
    assert {"data", "softmax_label"} <= set(symbol.list_arguments())


@pytest.mark.parametrize("depth", sorted(networks.ARCHITECTURES))
def test_depth_counts_convolutions_and_the_dense_layer(depth: int) -> None:
    names = networks.resnet(num_layers=depth, num_classes=7, image_shape=(3, 224, 224)).list_arguments()
    assert convolutions(names) + 1 == depth


@pytest.mark.parametrize(
    ("depth", "published"),
    [
        # torchvision's counts for 1000 classes; v2 differs only in where batch normalisations stand.
        (18, 11_689_512),
        (34, 21_797_672),
        (50, 25_557_032),
        (101, 44_549_160),
        (152, 60_192_808),
    ],
)
def test_large_networks_have_about_the_published_parameters(depth: int, published: int) -> None:
    symbol = networks.resnet(num_layers=depth, num_classes=1000, image_shape=(3, 224, 224))
    arguments, _ = shapes(symbol, 224)
    count = sum(int(np.prod(shape)) for name, shape in arguments.items() if name not in ("data", "softmax_label"))
    assert count == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_small_networks_have_the_papers_parameters(depth: int, millions: float) -> None:
    # He et al., arXiv:1512.03385, table 6, rounded there to two digits.
    symbol = networks.resnet(num_layers=depth, num_classes=10, image_shape=(3, 32, 32))
    arguments, _ = shapes(symbol, 32)
    count = sum(int(np.prod(shape)) for name, shape in arguments.items() if name not in ("data", "softmax_label"))
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if depth == 110 else 0.007)


def test_the_stem_follows_the_image_size() -> None:
    for side, kernel in [(32, (3, 3)), (33, (7, 7))]:
        symbol = networks.resnet(num_layers=18, num_classes=2, image_shape=(3, side, side))
        arguments, _ = shapes(symbol, side)
        assert arguments["conv0_weight"][2:] == kernel
    small = networks.resnet(num_layers=20, num_classes=2, image_shape=(3, 224, 224))
    assert shapes(small, 224)[0]["conv0_weight"] == (16, 3, 3, 3)


def test_raw_pixels_are_standardised_in_the_graph() -> None:
    symbol = networks.resnet(num_layers=20, num_classes=2, image_shape=(3, 32, 32))
    attributes = symbol.attr_dict()["bn_data"]
    assert attributes["fix_gamma"] == "True"
    assert symbol.get_internals().list_outputs()[:5] == [
        "data", "bn_data_gamma", "bn_data_beta", "bn_data_moving_mean", "bn_data_moving_var",
    ]  # fmt: skip


@pytest.mark.parametrize("number", sorted(networks.ARCHITECTURES))
def test_the_depth_can_be_told_from_the_parameters(number: int) -> None:
    symbol = networks.resnet(num_layers=number, num_classes=7, image_shape=(3, 224, 224))
    assert networks.depth(symbol.list_arguments()) == number


def test_equal_networks_have_equal_symbols() -> None:
    first, second = (networks.resnet(num_layers=20, num_classes=7, image_shape=(3, 32, 32)) for _ in range(2))
    assert first.tojson() == second.tojson()
