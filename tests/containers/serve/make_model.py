"""Writes small packaged models: `python make_model.py FOLDER`, in an environment that has onnx."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COLORS = 3
# Probabilities follow the mean of a channel: a red picture is called red.
STEEPNESS = 0.05


def network(side: int, *, output: str = "probabilities") -> onnx.ModelProto:
    """Return a network that calls a picture after its strongest channel; ``output``: probabilities, nan or pairs."""
    scale = np.nan if output == "nan" else STEEPNESS
    weights = (np.eye(COLORS) * scale).astype(np.float32)
    if output == "pairs":
        weights = weights[:, :2]
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "strongest channel",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", COLORS, side, side])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main(folder: Path) -> None:
    """Write the networks that the tests serve."""
    onnx.save(network(16), folder / "colors.onnx")
    onnx.save(network(224), folder / "large.onnx")
    onnx.save(network(16, output="nan"), folder / "nan.onnx")
    onnx.save(network(16, output="pairs"), folder / "pairs.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
