"""Products with constant weights -> the same with weights of 4 or 8 bits.

MatMulNBits reads its weights as they are: what takes its time in reading them, like the
layers of a language model that makes one token after another, gets faster by as much as
they get smaller. DynamicQuantizeMatMul multiplies integers and needs no calibration:
each row of its input is quantised when it comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Constant, Graph, Model, Node, trimmed
from trimtab.optimize.blocks import round_to_nearest
from trimtab.optimize.gptq import Hessian, gptq
from trimtab.types import Array

__all__ = [
    "collect_hessians",
    "quantize_dynamic",
    "quantize_weights",
    "weight_only_layers",
]

_NBITS_DOMAIN, _OWN_DOMAIN = "com.microsoft", "trimtab"
_LEVELS = {"float32": 0, "int8": 4}  # accuracy_level of MatMulNBits
_MOST_INT8 = 127


class _Layer:
    """A node that multiplies by constant weights, which are kept as [k, n]."""

    def __init__(self, node: Node, weights: Array, bias: str) -> None:
        self.node, self.weights, self.bias = node, weights, bias


def _name_of(node: Node) -> str:
    return node.name or node.outputs[0]


def _layer_of(graph: Graph, node: Node) -> _Layer | None:
    """The layer that a node is; None for others."""
    if node.domain or node.op_type not in ("MatMul", "Gemm"):
        return None
    constant = graph.constants.get(node.inputs[1])
    if constant is None or constant.dtype != "float32" or len(constant.shape) != 2:
        return None
    if 0 in constant.shape:
        return None
    weights, bias = constant.numpy(), ""
    if node.op_type == "Gemm":
        given = node.attributes
        factors = (given.get("alpha", 1.0), given.get("beta", 1.0))
        if given.get("transA", 0) or factors != (1.0, 1.0):
            return None
        weights = weights.T if given.get("transB", 0) else weights
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if bias:
        added = graph.constants.get(bias)
        fits = added is not None and added.shape == weights.shape[1:]
        if not fits or (added is not None and added.dtype != "float32"):
            return None
    return _Layer(node, weights, bias)


def weight_only_layers(graph: Model) -> dict[str, str]:
    """Find the layers whose weights can be quantised.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    layers : dict of str to str
        Name of the node (of its result where it has none) -> tensor that it is
        applied to.

    Examples
    --------
    >>> weights = {"w": Constant.of(np.ones((4, 2), np.float32))}
    >>> node = Node("MatMul", ["x", "w"], ["y"], "fc")
    >>> weight_only_layers(Model(Graph("g", nodes=[node], constants=weights), {"": 18}))
    {'fc': 'x'}
    """
    main = graph.graph
    return {
        _name_of(node): node.inputs[0]
        for node in main.nodes
        if _layer_of(main, node) is not None
    }


def collect_hessians(
    model: Any, batches: Iterable[Mapping[str, Array]], layers: Mapping[str, str]
) -> dict[str, Hessian]:
    """Gather what GPTQ needs to know of the inputs of layers.

    Parameters
    ----------
    model : trimtab.Model
    batches : iterable of mappings of str to ndarray
    layers : mapping of str to str
        What `weight_only_layers` gave, or some of it.

    Returns
    -------
    hessians : dict of str to Hessian

    Examples
    --------
    >>> collect_hessians(model, batches, layers)           # doctest: +SKIP
    {'fc': <trimtab.optimize.gptq.Hessian object at ...>}
    """
    found: dict[str, Hessian] = {}
    inner = sorted({*layers.values()} & {*model.taps})
    for batch in batches:
        values = {**batch, **(model.taps.run(batch, inner) if inner else {})}
        for layer, tensor in layers.items():
            value = np.asarray(values[tensor])
            found.setdefault(layer, Hessian(value.shape[-1])).add(value)
    return found


def _edit(graph: Model, layers: Collection[str]) -> tuple[Model, list[_Layer]]:
    """A copy, and the layers in it."""
    changed = graph.copy()
    main = changed.graph
    found = [layer for node in main.nodes if (layer := _layer_of(main, node))]
    found = [layer for layer in found if _name_of(layer.node) in layers]
    missing = set(layers) - {_name_of(layer.node) for layer in found}
    if missing:
        known = ", ".join(weight_only_layers(graph)) or "there are none"
        raise InputError(
            f"no layers with constant weights: {', '.join(sorted(missing))}; those "
            f"that have some: {known}"
        )
    return changed, found


def _add(graph: Graph, wanted: str, value: Array) -> str:
    """Add a constant under a name that is free."""
    taken = {*graph.constants, *(v.name for v in graph.inputs)}
    taken.update(name for node in graph.nodes for name in node.outputs)
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    graph.constants[name] = Constant.of(value)
    return name


def _drop_unread(graph: Model) -> None:
    """Forget constants that nobody reads any more."""
    read = {value.name for value in graph.graph.outputs}
    for inner in graph.graphs():
        read.update(name for node in inner.nodes for name in node.inputs)
        read.update(inner.captures)
        read.update(value.name for value in inner.outputs)
    main = graph.graph
    main.constants = {k: v for k, v in main.constants.items() if k in read}
    graph.overridable = [name for name in graph.overridable if name in read]


def _replace(layer: _Layer, op_type: str, domain: str, inputs: list[str]) -> None:
    node = layer.node
    node.op_type, node.domain, node.inputs = op_type, domain, trimmed(inputs)
    node.attributes = {}


def quantize_weights(
    graph: Model,
    layers: Collection[str],
    *,
    bits: int = 4,
    block_size: int = 32,
    symmetric: bool = True,
    search: bool = True,
    hessians: Mapping[str, Hessian] | None = None,
    activations: str = "float32",
) -> Model:
    """Give layers weights of 4 or 8 bits.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Stays as it is.
    layers : collection of str
        Keys of `weight_only_layers`.
    bits : {4, 8}, default=4
    block_size : int, default=32
        Weights along the inner dim that share a scale: a power of two from 16 on.
    symmetric, search : bool, default=True
        See `trimtab.optimize.blocks.block_parameters`.
    hessians : mapping of str to Hessian, optional
        Layers that are in it are rounded by GPTQ, the others to the nearest.
    activations : {"float32", "int8"}, default="float32"
        How the layers compute: with int8 they may quantise their inputs in blocks.

    Returns
    -------
    graph : trimtab.graph.Model

    Raises
    ------
    InputError
        A layer is not there, or a number is none of those.

    Examples
    --------
    >>> constants = {"w": Constant.of(np.ones((32, 2), np.float32))}
    >>> node = Node("MatMul", ["x", "w"], ["y"], "fc")
    >>> model = Model(Graph("g", nodes=[node], constants=constants), {"": 18})
    >>> quantize_weights(model, ["fc"]).graph.nodes[0].op_type
    'MatMulNBits'
    """
    if bits not in (4, 8) or block_size < 16 or block_size & (block_size - 1):
        raise InputError(
            f"{bits} bits in blocks of {block_size}: expected 4 or 8 bits, and a power "
            "of two from 16 on"
        )
    if activations not in _LEVELS:
        raise InputError(f"activations={activations!r}: expected one of {[*_LEVELS]}")
    changed, found = _edit(graph, layers)
    main = changed.graph
    for layer in found:
        name = _name_of(layer.node)
        options: dict[str, Any] = {
            "bits": bits,
            "block_size": block_size,
            "symmetric": symmetric,
            "search": search,
        }
        hessian = (hessians or {}).get(name)
        if hessian is None:
            made = round_to_nearest(layer.weights, **options)
        else:
            made = gptq(layer.weights, hessian, **options)
        stem = layer.node.inputs[1]
        b, scales, zeros = made.tensors()
        inputs = [
            layer.node.inputs[0],
            _add(main, f"{stem}.q{bits}", b),
            _add(main, f"{stem}.scales", scales),
            "" if zeros is None else _add(main, f"{stem}.zero_points", zeros),
            "",
            layer.bias,
        ]
        _replace(layer, "MatMulNBits", _NBITS_DOMAIN, inputs)
        k, n = layer.weights.shape
        layer.node.attributes = {
            "K": k,
            "N": n,
            "bits": bits,
            "block_size": block_size,
            "accuracy_level": _LEVELS[activations],
        }
    if found:
        changed.opsets.setdefault(_NBITS_DOMAIN, 1)
    _drop_unread(changed)
    return changed


def quantize_dynamic(graph: Model, layers: Collection[str]) -> Model:
    """Give layers weights of int8, and inputs that are quantised row by row.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Stays as it is.
    layers : collection of str
        Keys of `weight_only_layers`.

    Returns
    -------
    graph : trimtab.graph.Model

    Raises
    ------
    InputError
        A layer is not there.

    Examples
    --------
    >>> constants = {"w": Constant.of(np.ones((32, 2), np.float32))}
    >>> node = Node("MatMul", ["x", "w"], ["y"], "fc")
    >>> model = Model(Graph("g", nodes=[node], constants=constants), {"": 18})
    >>> quantize_dynamic(model, ["fc"]).graph.nodes[0].op_type
    'DynamicQuantizeMatMul'
    """
    changed, found = _edit(graph, layers)
    for layer in found:
        scale = np.abs(layer.weights).max(0).astype(np.float32) / _MOST_INT8
        safe = np.where(scale > 0, scale, np.float32(1))
        q = np.clip(np.rint(layer.weights / safe), -_MOST_INT8, _MOST_INT8)
        stem = layer.node.inputs[1]
        inputs = [
            layer.node.inputs[0],
            _add(changed.graph, f"{stem}.q8", q.astype(np.int8)),
            _add(changed.graph, f"{stem}.scale", scale),
            "",
            layer.bias,
        ]
        _replace(layer, "DynamicQuantizeMatMul", _OWN_DOMAIN, inputs)
    if found:
        changed.opsets.setdefault(_OWN_DOMAIN, 1)
    _drop_unread(changed)
    return changed
