"""Brings a training network into the form that MXNet's exporter translates as it is meant: no labels, no defaults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mxnet as mx

from evaluate.model import DATA_NAME, Model

Node = dict[str, Any]
# The axes of an image's rows and columns in (N, C, H, W).
_SPATIAL = {"(2, 3)", "[2, 3]", "(-2, -1)", "[-2, -1]"}
_TRUE = {"True", "1"}


def inference_network(model: Model) -> tuple[mx.sym.Symbol, dict[str, mx.nd.NDArray]]:
    """Return symbol and parameters, by plain names, of a network that takes images alone and answers the same.

    Loss layers become the probabilities that they compute, and what MXNet's exporter gets wrong is written another
    way. The parameters are those that the symbol still has.
    """
    graph = json.loads(model.symbol.tojson())
    values = {**model.arguments, **model.auxiliary}
    for node in graph["nodes"]:
        if node["op"] == "BatchNorm" and _flag(node, "fix_gamma", default=True):
            # The scale counts as 1, whatever is stored. The exporter takes what is stored.
            scale = graph["nodes"][node["inputs"][1][0]]["name"]
            values[scale] = mx.nd.ones_like(values[scale])
        if rewrite := _REWRITES.get(node["op"]):
            rewrite(node)
    symbol = mx.sym.load_json(json.dumps(graph))
    names = {*symbol.list_arguments(), *symbol.list_auxiliary_states()} - {DATA_NAME}
    return symbol, {name: values[name] for name in sorted(names)}


def _to_softmax(node: Node) -> None:
    """Keep the scores of SoftmaxOutput and its kin, whose second input is the label."""
    node.update(op="softmax", inputs=node["inputs"][:1], attrs={"axis": "1"})


def _to_sigmoid(node: Node) -> None:
    node.update(op="sigmoid", inputs=node["inputs"][:1], attrs={})


def _to_pooling(node: Node) -> None:
    """Write a mean over rows and columns as the pooling that it is; its exporter writes an operator of old ONNX."""
    attributes = node.get("attrs", {})
    if attributes.get("axis") in _SPATIAL and _flag(node, "keepdims", default=False):
        node.update(op="Pooling", attrs={"global_pool": "True", "pool_type": "avg", "kernel": "(1, 1)"})


def _with_flatten(node: Node) -> None:
    """Write out the default, which the exporter takes for False."""
    node.setdefault("attrs", {}).setdefault("flatten", "True")


def _flag(node: Node, name: str, *, default: bool) -> bool:
    value = node.get("attrs", {}).get(name)
    return default if value is None else value in _TRUE


_REWRITES: dict[str, Callable[[Node], None]] = {
    "SoftmaxOutput": _to_softmax,
    "Softmax": _to_softmax,
    "SoftmaxActivation": _to_softmax,
    "LogisticRegressionOutput": _to_sigmoid,
    "mean": _to_pooling,
    "FullyConnected": _with_flatten,
}
