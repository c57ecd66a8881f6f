"""A model in float64, by the definitions: who is right where float32 is not sharp.

Some nets amplify rounding (a logarithm of power that nearly cancels, a sharpened
sigmoid, outliers before a normalization), and two correct engines then differ by
more than a strict tolerance. Where that happens, both are held against this.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from .model import Tensors


class GlobalMaxPool(OpRun):  # type: ignore[misc]
    """The maximum over all spatial axes; onnx 1.23 errs unless there are two."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def run_float64(path: Path, inputs: Tensors) -> Tensors:
    """Outputs by name, computed in float64 by ONNX's reference implementation."""
    model = onnx.load(path)
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for tensor in graph.initializer:
            _widen_tensor(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        for node in graph.node:
            graphs += _widen_node(node)
    wide = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in inputs.items()
    }
    names = [value.name for value in model.graph.output]
    evaluator = ReferenceEvaluator(model, new_ops=[GlobalMaxPool])
    return dict(zip(names, evaluator.run(None, wide), strict=True))


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        array = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _widen_node(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Widen what a node holds; its subgraphs are returned."""
    if node.op_type == "BatchNormalization":
        # onnx 1.23 takes the statistics of the batch in opset 9 to 13, weighted by
        # 1 - momentum; with a momentum of 1 it does what the standard says.
        kept = [a for a in node.attribute if a.name != "momentum"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("momentum", 1.0)])
    for attribute in node.attribute:
        if attribute.HasField("t"):
            _widen_tensor(attribute.t)
        is_cast = node.op_type == "Cast" and attribute.name == "to"
        if is_cast and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
    return [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
