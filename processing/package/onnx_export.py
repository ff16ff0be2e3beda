"""Writes an MXNet model as ONNX, the way it will be served."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mxnet as mx
import numpy as np
import onnx
from mxnet import onnx as mx2onnx

from common.contract import ContainerError
from evaluate.model import DATA_NAME, Model, first_line
from package.inference_graph import inference_network
from package.onnx_graph import drop_unused_weights

# The newest operators that MXNet's exporter knows; it would claim those of the installed onnx.
OPSET = 13
# The file format that came with these operators; runtimes of any later release read it.
IR_VERSION = 7
BATCH = "batch"


def export(model: Model) -> bytes:
    """Return the model as an ONNX file: input ``data`` (batch, channels, height, width) float32, raw 0..255 RGB.

    Its one output is (batch, classes) probabilities; the batch may have any size. Weights are not inputs of the
    graph, so that a runtime may fold and fuse them. ContainerError where the exporter lacks an operator.
    """
    symbol, parameters = inference_network(model)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        try:
            mx2onnx.export_model(
                symbol,
                parameters,
                [(1, *model.shape)],
                np.float32,
                str(path),
                dynamic=True,
                dynamic_input_shapes=[(None, *model.shape)],
            )
        except (AttributeError, NotImplementedError, ValueError, mx.MXNetError, onnx.checker.ValidationError) as error:
            raise ContainerError(f"the model cannot be written as ONNX: {first_line(error)}") from error
        exported = onnx.load(path)
    _, (output_shape,), _ = symbol.infer_shape(**{DATA_NAME: (1, *model.shape)})
    return _finished(exported, model.shape, num_classes=output_shape[1])


def _finished(exported: onnx.ModelProto, shape: tuple[int, int, int], *, num_classes: int) -> bytes:
    """Take the weights out of the inputs and what no node needs out of the weights, name the dimensions, and check."""
    graph = exported.graph
    (output,) = graph.output
    del exported.opset_import[:]
    exported.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    exported.ir_version = IR_VERSION
    float32 = onnx.TensorProto.FLOAT
    del graph.input[:], graph.output[:]
    drop_unused_weights(graph)
    graph.input.append(onnx.helper.make_tensor_value_info(DATA_NAME, float32, [BATCH, *shape]))
    graph.output.append(onnx.helper.make_tensor_value_info(output.name, float32, [BATCH, num_classes]))
    onnx.checker.check_model(exported, full_check=True)
    return exported.SerializeToString(deterministic=True)
