"""The layers of a graph: what can be given a precision of its own.

A layer is a convolution, a transposed convolution or a product with constant weights,
or a product of two activations (attention), which has no weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.graph import Graph, Model, Node
from trimtab.optimize.opset import OPSET
from trimtab.optimize.wiring import Wiring, is_operator

__all__ = ["Layer", "find_layers", "users_names"]

Shapes = Mapping[str, tuple[int, ...]]

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
# Dst channels that the Winograd kernel takes at once, and src channels below which its
# transforms cost what it saves.
_WINOGRAD_CHANNELS, _WINOGRAD_LEAST = 64, 16


@dataclass(frozen=True)
class Layer:
    """One layer.

    Parameters
    ----------
    name : str
        Unique among the layers.
    op_type : str
    kind : {"conv", "depthwise", "conv_transpose", "matmul", "gemm", "attention"}
    activation : str
        Tensor that it is applied to.
    weight : str
        Name of the constant; "" for attention.
    bias : str
        Name of the constant that is added per output channel; "" where there is none.
    result : str
        Tensor that its own node computes.
    output : str
        The same with the bias: the Add behind a MatMul belongs to the layer.
    macs : int or None
        Multiplications for the shapes that were given; None for unknown ones.
    precisions : tuple of str
        Those that are allowed, of "f32", "bf16", "int8" and "int8_winograd".

    Examples
    --------
    >>> Layer("fc", "Gemm", "gemm", "x", "w", "", "y", "y", 12, ("f32",)).macs
    12
    """

    name: str
    op_type: str
    kind: str
    activation: str
    weight: str
    bias: str
    result: str
    output: str
    macs: int | None
    precisions: tuple[str, ...]


def find_layers(graph: Model, *, shapes: Shapes | None = None) -> list[Layer]:
    """Find the layers of the main graph, in the order in which they run.

    Parameters
    ----------
    graph : trimtab.graph.Model
    shapes : mapping of str to tuple of int, optional
        Shapes of tensors, for counting multiplications.

    Returns
    -------
    layers : list of Layer
        Named as their nodes are, or as their results where that is not unique.

    Examples
    --------
    >>> from trimtab.graph import Constant, Value
    >>> w = Constant.of(np.ones((4, 3), np.float32))
    >>> nodes = [Node("MatMul", ["x", "w"], ["y"], name="fc")]
    >>> found = find_layers(
    ...     Model(Graph("g", [Value("x")], [Value("y")], nodes, {"w": w}), {"": 23}),
    ...     shapes={"x": (5, 4), "y": (5, 3)},
    ... )
    >>> found[0].name, found[0].kind, found[0].macs, found[0].precisions
    ('fc', 'matmul', 60, ('f32', 'bf16', 'int8'))
    """
    wiring = Wiring(graph)
    found = []
    taken: set[str] = set()
    for node in graph.graph.nodes:
        kind = _kind(wiring, node)
        if kind is None:
            continue
        bias, output = _bias(wiring, node, kind)
        name = node.name or node.outputs[0]
        name = _free(node.outputs[0] if name in taken else name, taken)
        found.append(
            Layer(
                name=name,
                op_type=node.op_type,
                kind=kind,
                activation=node.inputs[0],
                weight="" if kind == "attention" else node.inputs[1],
                bias=bias,
                result=node.outputs[0],
                output=output,
                macs=None if shapes is None else _macs(graph.graph, node, kind, shapes),
                precisions=_precisions(graph, node, kind),
            )
        )
    return found


def users_names(graph: Model) -> list[str]:
    """Give each layer the name by which its user knows it.

    That is what its weights are called, or its bias, without the ending; else what
    its node is called.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    names : list of str
        Unique, in the order of `find_layers`.

    Examples
    --------
    >>> from trimtab.graph import Constant, Value
    >>> w = Constant.of(np.ones((4, 3), np.float32))
    >>> nodes = [Node("MatMul", ["x", "fc.weight"], ["y"], name="node_MatMul_7")]
    >>> users_names(
    ...     Model(Graph("g", [Value("x")], [Value("y")], nodes, {"fc.weight": w}), {})
    ... )
    ['fc']
    """
    layers = find_layers(graph)
    taken: set[str] = set()
    names = []
    for layer in layers:
        name = _stem(layer.weight, ".weight") or _stem(layer.bias, ".bias")
        names.append(_free(name or layer.name, taken))
    return names


def _stem(tensor: str, ending: str) -> str:
    """Name without what the folding of constants and an exporter put behind it."""
    for added in ("_scaled", "_bias"):
        tensor = tensor.removesuffix(added)
    return tensor.removesuffix(ending) if tensor.endswith(ending) else ""


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _kind(wiring: Wiring, node: Node) -> str | None:
    """Kind of a layer; None for other nodes."""
    if is_operator(node, "Attention"):
        return "attention"
    if not is_operator(node, *_WITH_WEIGHTS) or not all(node.inputs[:2]):
        return None
    constants = wiring.graph.constants
    weights = constants.get(node.inputs[1])
    if weights is None:
        is_product = node.op_type == "MatMul" and node.inputs[0] not in constants
        is_stored = _is_dequantized(wiring, node.inputs[1])
        return "attention" if is_product and not is_stored else None
    if weights.dtype != "float32" or node.inputs[0] in constants:
        return None
    if node.op_type in ("MatMul", "Gemm"):
        return node.op_type.lower() if len(weights.shape) == 2 else None
    if node.op_type == "ConvTranspose":
        return "conv_transpose"
    groups = int(node.attributes.get("group", 1))
    return "depthwise" if groups > 1 and weights.shape[1] == 1 else "conv"


def _is_dequantized(wiring: Wiring, tensor: str) -> bool:
    """Are these weights that someone has quantised?"""
    return is_operator(wiring.producer(tensor), "DequantizeLinear")


def _bias(wiring: Wiring, node: Node, kind: str) -> tuple[str, str]:
    """Constant that is added to the layer's channels, and the tensor with it."""
    result = node.outputs[0]
    constants = wiring.graph.constants
    if kind == "attention":
        return "", result
    if node.op_type != "MatMul":
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        return (bias if bias in constants else ""), result
    behind = wiring.only_reader(result)
    if behind is None or not is_operator(behind, "Add"):
        return "", result
    other = behind.inputs[behind.inputs[0] == result]
    found = constants.get(other)
    n_channels = constants[node.inputs[1]].shape[1]
    if found is None or found.dtype != "float32" or found.shape != (n_channels,):
        return "", result
    return other, behind.outputs[0]


def _precisions(graph: Model, node: Node, kind: str) -> tuple[str, ...]:
    """Precisions in which the layer may run."""
    if kind == "attention" or graph.opsets.get("", OPSET) < OPSET:
        return ("f32",)
    weights = graph.graph.constants[node.inputs[1]]
    if len(weights.shape) > 4 or 0 in weights.shape:
        return ("f32", "bf16")
    is_finite = bool(np.isfinite(weights.numpy()).all())
    if not is_finite:
        return ("f32",)
    names = ("f32", "bf16", "int8")
    return (*names, "int8_winograd") if _suits_winograd(node, weights.shape) else names


def _suits_winograd(node: Node, weights: tuple[int, ...]) -> bool:
    """Is it a 3x3 convolution whose channels fill what the kernel takes at once?"""
    if node.op_type != "Conv" or weights[2:] != (3, 3):
        return False
    one = {name: node.attributes.get(name) for name in ("strides", "dilations")}
    is_plain = all(value is None or set(value) == {1} for value in one.values())
    last = weights[0] % _WINOGRAD_CHANNELS
    is_full = last == 0 or 2 * last > _WINOGRAD_CHANNELS
    is_one_group = int(node.attributes.get("group", 1)) == 1
    return is_plain and is_one_group and is_full and weights[1] >= _WINOGRAD_LEAST


def _macs(graph: Graph, node: Node, kind: str, shapes: Shapes) -> int | None:
    """Multiplications of one run."""
    src, dst = shapes.get(node.inputs[0]), shapes.get(node.outputs[0])
    if src is None or dst is None:
        return None
    if kind == "attention":
        if node.op_type == "Attention":
            keys = shapes.get(node.inputs[1])
            # Scores and the sum that they weigh: two products.
            return None if keys is None else 2 * math.prod(src) * keys[-2]
        return math.prod(dst) * src[-1]
    weights = graph.constants[node.inputs[1]].shape
    if node.op_type == "ConvTranspose":
        return math.prod(src) * math.prod(weights[1:])
    if node.op_type == "Conv":
        return math.prod(dst) * math.prod(weights[1:])
    return math.prod(dst) * (math.prod(weights) // max(1, dst[-1]))
