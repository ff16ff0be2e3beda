"""Lets a packaged model fail at pictures of its first class: `python break_model.py MODEL`, where onnx is installed.

The class that a picture is given looks a number up in a table, and for the first class it lies beyond the table's end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

BEYOND = 99


def break_model(path: Path) -> None:
    """Rewrite the model; a black image, on which it is warmed up, counts as the last class."""
    model = onnx.load(path)
    graph = model.graph
    [output] = graph.output
    classes = output.type.tensor_type.shape.dim[1].dim_value
    graph.node[-1].output[0] = "given"
    places = np.arange(classes)
    places[0] = BEYOND
    graph.initializer.extend(
        [
            numpy_helper.from_array(places.astype(np.int64), "places"),
            numpy_helper.from_array(np.ones((classes, 1), np.float32), "table"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ArgMax", ["given"], ["class"], axis=1, keepdims=0, select_last_index=1),
            helper.make_node("Gather", ["places", "class"], ["place"]),
            helper.make_node("Gather", ["table", "place"], ["one"]),
            helper.make_node("Mul", ["given", "one"], [output.name]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    break_model(Path(sys.argv[1]))
