"""Which constants of a graph are weights: what training learns by default."""

from __future__ import annotations

import math

from trimtab.graph import Model, Node

__all__ = ["learnable"]

_FLOATS = ("float32", "float64")

# Operator -> its inputs that hold weights.
_SLOTS: dict[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "BatchNormalization": (1, 2),
    "BiasGelu": (1,),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "FastGelu": (1,),
    "GRU": (1, 2, 3),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "Mul": (0, 1),
    "PRelu": (1,),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
    "SimplifiedLayerNormalization": (1,),
    "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3),
}

# Operators between a stored weight and the one that reads it.
_THROUGH = ("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

# Sums and products are layers only behind one: in front they prepare the input.
_BEHIND = ("Add", "Mul")


def learnable(model: Model) -> list[str]:
    """List the weights of a graph.

    Parameters
    ----------
    model : trimtab.graph.Model

    Returns
    -------
    names : list of str
        Float constants that layers read as weights, shifts, scales or tables, in the
        graph's order. Scalars and running statistics are not among them, nor what is
        added to or multiplied with an input before the first layer.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Constant, Graph, Value
    >>> graph = Graph("g", [Value("x")], [Value("y")])
    >>> graph.nodes.append(Node("MatMul", ["x", "w"], ["y"]))
    >>> graph.constants["w"] = Constant.of(np.ones((2, 2), np.float32))
    >>> learnable(Model(graph, {"": 17}))
    ['w']
    """
    graph = model.graph
    stored = {
        name: name
        for name, constant in graph.constants.items()
        if constant.dtype in _FLOATS and math.prod(constant.shape) > 1
    }
    behind: set[str] = set()
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.op_type in _THROUGH and node.inputs[0] in stored:
            stored[node.outputs[0]] = stored[node.inputs[0]]
            continue
        weights = [] if _prepares(node, behind) else _weights_of(node, stored)
        found.update(dict.fromkeys(weights))
        if weights or not behind.isdisjoint(node.inputs):
            behind.update(node.outputs)
    return [name for name in graph.constants if name in found]


def _prepares(node: Node, behind: set[str]) -> bool:
    return node.op_type in _BEHIND and behind.isdisjoint(node.inputs)


def _weights_of(node: Node, stored: dict[str, str]) -> list[str]:
    return [
        stored[node.inputs[i]]
        for i in _SLOTS.get(node.op_type, ())
        if i < len(node.inputs) and node.inputs[i] in stored
    ]
