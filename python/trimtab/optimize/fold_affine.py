"""Batch norms, and scales and shifts per channel, as part of the layer before them.

``y = a * layer(x) + b`` with constants per output channel is the same layer with the
weights ``a * W`` and the bias ``a * bias + b``.
"""

from __future__ import annotations

import numpy as np

from trimtab.graph import Node
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.types import Array

__all__ = ["fold_affine", "output_axis"]

_EPSILON = 1e-5


def output_axis(node: Node) -> int:
    """Say which axis of a layer's weights counts its output channels.

    Parameters
    ----------
    node : Node
        Conv, ConvTranspose, MatMul or Gemm.

    Returns
    -------
    axis : int
        Of ConvTranspose with groups: the channels of each group.

    Examples
    --------
    >>> output_axis(Node("Gemm", ["x", "w"], ["y"], attributes={"transB": 1}))
    0
    """
    if node.op_type == "Gemm":
        return 0 if node.attributes.get("transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}[node.op_type]


def fold_affine(wiring: Wiring) -> None:
    """Fold what scales and shifts the channels of a layer's result into the layer.

    Parameters
    ----------
    wiring : Wiring
        Of the graph, which is changed.

    Examples
    --------
    >>> fold_affine(Wiring(graph))                         # doctest: +SKIP
    """
    graph = wiring.graph
    for node in list(graph.nodes):
        # A chain, say Mul and Add, is folded link by link.
        while _fold_next(wiring, node):
            wiring.refresh()


def _fold_next(wiring: Wiring, layer: Node) -> bool:
    """Fold the node behind a layer; False where there is none that fits."""
    channels = _channels(wiring, layer)
    if channels is None:
        return False
    result = layer.outputs[0]
    behind = wiring.only_reader(result)
    if behind is None or behind.domain:
        return False
    made = _scale_and_shift(wiring, behind, layer, channels)
    if made is None:
        return False
    scale, shift = made
    weights = wiring.constant(layer.inputs[1])
    assert weights is not None
    if layer.op_type == "MatMul" and shift.any():
        return False  # its bias is the Add behind it, which stays
    new = _scaled(layer, weights, scale)
    if not np.isfinite(new).all():
        return False
    if shift.any() or (len(layer.inputs) > 2 and layer.inputs[2]):
        bias = _bias(wiring, layer, channels)
        bias = (bias * scale + shift).astype(np.float32)
        name = wiring.add_constant(bias, f"{layer.inputs[1]}_bias")
        layer.inputs[2:] = [name]
        if layer.op_type == "Gemm":
            layer.attributes["beta"] = 1.0
    layer.inputs[1] = wiring.add_constant(new, f"{layer.inputs[1]}_scaled")
    layer.outputs[0] = behind.outputs[0]
    wiring.graph.nodes.remove(behind)
    return True


def _channels(wiring: Wiring, node: Node) -> int | None:
    """Output channels of a layer that can take a scale; None for other nodes."""
    if not is_operator(node, "Conv", "ConvTranspose", "MatMul", "Gemm"):
        return None
    if len(node.inputs) < 2:
        return None
    weights = wiring.graph.constants.get(node.inputs[1])
    if weights is None or weights.dtype != "float32":
        return None
    if node.op_type in ("MatMul", "Gemm") and len(weights.shape) != 2:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if bias and wiring.constant(bias) is None:
        return None
    if node.op_type == "ConvTranspose":
        return weights.shape[1] * int(node.attributes.get("group", 1))
    return weights.shape[output_axis(node)]


def _bias(wiring: Wiring, layer: Node, channels: int) -> Array:
    """Bias of a layer per channel, zeros where it has none, in float64."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
    if not bias:
        return np.zeros(channels)
    found = wiring.constant(bias)
    assert found is not None
    return found.astype(np.float64) * float(layer.attributes.get("beta", 1.0))


def _scaled(layer: Node, weights: Array, scale: Array) -> Array:
    """Weights whose output channels are scaled."""
    wide = weights.astype(np.float64)
    if layer.op_type == "ConvTranspose":
        groups = int(layer.attributes.get("group", 1))
        shape = (groups, wide.shape[0] // groups, *wide.shape[1:])
        by_group = scale.reshape(groups, 1, -1, *[1] * (wide.ndim - 2))
        wide = (wide.reshape(shape) * by_group).reshape(wide.shape)
    else:
        along = [1] * wide.ndim
        along[output_axis(layer)] = -1
        wide = wide * scale.reshape(along)
    return wide.astype(np.float32)


def _scale_and_shift(
    wiring: Wiring, node: Node, layer: Node, channels: int
) -> tuple[Array, Array] | None:
    """Say what a node does to each channel of a result; None: something else."""
    is_first = node.inputs[0] == layer.outputs[0]
    if is_operator(node, "BatchNormalization"):
        return _batch_norm(wiring, node, layer, channels) if is_first else None
    if not is_operator(node, "Mul", "Add", "Sub", "Div"):
        return None
    value = _per_channel(wiring, node.inputs[is_first], layer, channels)
    if value is None:
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op_type == "Mul":
        return value, zero
    if node.op_type == "Add":
        return one, value
    if node.op_type == "Sub":
        return (one, -value) if is_first else (-one, value)
    return (1 / value, zero) if is_first and value.all() else None


def _per_channel(
    wiring: Wiring, tensor: str, layer: Node, channels: int
) -> Array | None:
    """Read a constant that has one value per channel, or one for all, in float64."""
    value = wiring.constant(tensor)
    if value is None:
        return None
    n_behind = len(wiring.graph.constants[layer.inputs[1]].shape) - 2
    # The result of a MatMul may be a vector, and more dims would add one.
    most = 1 if layer.op_type == "MatMul" else 2 + n_behind
    if value.ndim > most or (value.size != 1 and value.size != channels):
        return None
    if value.size == 1:
        return np.full(channels, float(value.reshape(-1)[0]))
    is_fitting = value.ndim > n_behind and value.shape[-1 - n_behind] == channels
    return value.reshape(-1).astype(np.float64) if is_fitting else None


def _batch_norm(
    wiring: Wiring, node: Node, layer: Node, channels: int
) -> tuple[Array, Array] | None:
    """Scale and shift of a batch norm that uses stored statistics."""
    if layer.op_type == "MatMul":  # its channels may not be on axis 1
        return None
    if node.attributes.get("training_mode", 0) or any(node.outputs[1:]):
        return None
    found = [wiring.constant(name) for name in node.inputs[1:5]]
    if any(value is None or value.shape != (channels,) for value in found):
        return None
    gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in found)
    epsilon = float(node.attributes.get("epsilon", _EPSILON))
    if not (variance + epsilon > 0).all():
        return None
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale
