"""Edits of ONNX graphs that several steps of packaging need."""

from __future__ import annotations

import onnx


def drop_unused_weights(graph: onnx.GraphProto) -> None:
    """Remove the weights that no node takes, which ONNX Runtime warns of at every start."""
    taken = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in taken]:
        graph.initializer.remove(tensor)
