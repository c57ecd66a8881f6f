"""Cross-layer equalisation: channels of about the same range in neighbouring layers.

Between two layers with nothing but a positively homogeneous function (Relu, LeakyRelu,
pooling), ``f(s x) = s f(x)`` for ``s > 0``: dividing an output channel of the first
layer by ``s`` and multiplying what the second makes of it changes nothing, but lets
one step fit all channels of the tensor between them.

References
----------
Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
2019, section 4.1.
"""

from __future__ import annotations

import numpy as np

from trimtab.graph import Model, Node
from trimtab.optimize.fold_affine import output_axis
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.types import Array

__all__ = ["equalize_graph"]

_IMAGES = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm")

# Between layers: f(s x) = s f(x) channel by channel.
_HOMOGENEOUS = ("Relu", "LeakyRelu")
_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")

# Scales beyond this would only move rounding of the weights elsewhere.
_MOST_SCALE = 1e3

Pair = tuple[Node, Node]


def equalize_graph(
    graph: Model, *, n_rounds: int = 20, tolerance: float = 1e-3
) -> tuple[Model, int]:
    """Equalise all neighbouring layers of a graph.

    Parameters
    ----------
    graph : trimtab.graph.Model
        As `trimtab.optimize.prepare.prepare_graph` gave it; is not changed.
    n_rounds : int, default=20
        At most this many times over all pairs; in a chain each scale moves the next.
    tolerance : float, default=1e-3
        No more rounds when no scale is farther from 1.

    Returns
    -------
    model : trimtab.graph.Model
        Gives the same results in float32, up to rounding.
    n_pairs : int
        How many pairs were found.

    Examples
    --------
    >>> equalized, n_pairs = equalize_graph(graph)         # doctest: +SKIP
    """
    model = graph.copy()
    wiring = Wiring(model)
    pairs = _find_pairs(wiring)
    if not pairs:
        return model, 0
    wide = _own_weights(wiring, pairs)
    for _ in range(n_rounds):
        worst = max(_equalize(wide, *pair) for pair in pairs)
        if worst < tolerance:
            break
    for name, value in wide.values.items():
        new = wiring.add_constant(value.astype(np.float32), f"{name}_equal")
        for node, slot in wide.users[name]:
            node.inputs[slot] = new
    wiring.refresh()
    wiring.drop_unread()
    return model, len(pairs)


class _Weights:
    """Weights and biases of the pairs, in float64, to be changed in place."""

    def __init__(self) -> None:
        self.values: dict[str, Array] = {}
        self.users: dict[str, list[tuple[Node, int]]] = {}

    def of(self, node: Node, slot: int) -> Array:
        """Give what a node reads there."""
        return self.values[node.inputs[slot]]


def _own_weights(wiring: Wiring, pairs: list[Pair]) -> _Weights:
    wide = _Weights()
    for node in {id(n): n for pair in pairs for n in pair}.values():
        for slot, name in enumerate(node.inputs[1:3], start=1):
            if not name:
                continue
            value = wiring.constant(name)
            assert value is not None
            wide.values[name] = value.astype(np.float64)
            wide.users.setdefault(name, []).append((node, slot))
    return wide


def _find_pairs(wiring: Wiring) -> list[Pair]:
    """Layers that can be equalised with the next one."""
    pairs = []
    for node in wiring.graph.nodes:
        if not _is_layer(wiring, node):
            continue
        behind = _next_layer(wiring, node)
        if behind is not None and _outputs(wiring, node) == _inputs(wiring, behind):
            pairs.append((node, behind))
    return pairs


def _is_layer(wiring: Wiring, node: Node) -> bool:
    """Has it weights, and a bias if any, that nobody else reads?"""
    if not is_operator(node, *_IMAGES, *_PRODUCTS) or len(node.inputs) > 3:
        return False
    for slot, name in enumerate(node.inputs[1:3], start=1):
        if not name:
            continue
        value = wiring.constant(name)
        if value is None or wiring.only_reader(name) is not node:
            return False
        if slot == 1 and (node.op_type in _PRODUCTS) != (value.ndim == 2):
            return False
        if slot == 2 and value.ndim != 1:
            return False
        if not np.isfinite(value).all() or 0 in value.shape:
            return False
    return not node.attributes.get("transA", 0)


def _next_layer(wiring: Wiring, node: Node) -> Node | None:
    """Layer that reads this one's result through homogeneous functions alone."""
    tensor = node.outputs[0]
    between = (*_HOMOGENEOUS, *(_POOLS if node.op_type in _IMAGES else ()))
    for _ in range(8):
        reader = wiring.only_reader(tensor)
        if reader is None or reader.inputs[0] != tensor:
            return None
        is_same_kind = (node.op_type in _IMAGES) == (reader.op_type in _IMAGES)
        if _is_layer(wiring, reader):
            return reader if is_same_kind else None
        if not is_operator(reader, *between) or any(reader.outputs[1:]):
            return None
        tensor = reader.outputs[0]
    return None


def _groups(node: Node) -> int:
    return int(node.attributes.get("group", 1))


def _outputs(wiring: Wiring, node: Node) -> int:
    shape = wiring.graph.constants[node.inputs[1]].shape
    n = shape[output_axis(node)]
    return n * _groups(node) if node.op_type == "ConvTranspose" else n


def _inputs(wiring: Wiring, node: Node) -> int:
    shape = wiring.graph.constants[node.inputs[1]].shape
    n = shape[1 - output_axis(node)]
    return n * _groups(node) if node.op_type == "Conv" else n


def _by_output(node: Node, weights: Array) -> Array:
    """View of weights: groups, output channels of a group, then the rest."""
    if node.op_type == "ConvTranspose":
        return _by_group(node, weights)
    view: Array = np.moveaxis(weights, output_axis(node), 0)[None]
    return view


def _by_input(node: Node, weights: Array) -> Array:
    """View of weights: groups, input channels of a group, then the rest."""
    if node.op_type == "Conv":
        return _by_group(node, weights)
    view: Array = np.moveaxis(weights, 1 - output_axis(node), 0)[None]
    return view


def _by_group(node: Node, weights: Array) -> Array:
    """View of weights: groups, channels of a group on axis 1, then the rest."""
    groups = _groups(node)
    shape = (groups, weights.shape[0] // groups, *weights.shape[1:])
    view: Array = weights.reshape(shape).swapaxes(1, 2)
    return view


def _largest(view: Array) -> Array:
    """Largest size of a weight of each channel, counted over the groups."""
    largest: Array = np.abs(view).max(axis=tuple(range(2, view.ndim)))
    return largest.reshape(-1)


def _equalize(wide: _Weights, first: Node, second: Node) -> float:
    """Equalise one pair; say how far from 1 its scales were."""
    outgoing = _by_output(first, wide.of(first, 1))
    incoming = _by_input(second, wide.of(second, 1))
    r1, r2 = _largest(outgoing), _largest(incoming)
    is_used = (r1 > 0) & (r2 > 0)
    scale = np.ones(len(r1))
    scale[is_used] = np.sqrt(r1[is_used] / r2[is_used])
    scale = np.clip(scale, 1 / _MOST_SCALE, _MOST_SCALE)
    _multiply(outgoing, 1 / scale)
    _multiply(incoming, scale)
    if len(first.inputs) > 2 and first.inputs[2]:
        bias = wide.of(first, 2)
        if bias.shape != scale.shape:  # one for all channels
            bias = np.broadcast_to(bias, scale.shape).copy()
        wide.values[first.inputs[2]] = bias / scale
    return float(np.abs(np.log(scale)).max())


def _multiply(view: Array, scale: Array) -> None:
    """Scale each channel in place."""
    view *= scale.reshape(*view.shape[:2], *[1] * (view.ndim - 2))
