"""The dense layer at a model's end: finding it, what it reads, another in its place.

Enters: a graph. Leaves: a `Head` with its weights as ``logits = features @ weight +
bias``, however the file stores them: Gemm with its factors, MatMul and Add, a
convolution of one pixel, a factor behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Constant, Model, Node, Value
from trimtab.optimize.wiring import Wiring
from trimtab.update.head_parts import Parts, walk_back
from trimtab.update.tapped import tap_rows

if TYPE_CHECKING:
    from trimtab.model import Model as LoadedModel
    from trimtab.types import Array

__all__ = ["Head", "features", "find_head", "with_head"]


@dataclass(frozen=True, eq=False)
class Head:
    """The dense layer at a model's end.

    Parameters
    ----------
    output : str
        The model's output that it leads to.
    features : str
        Tensor that it reads.
    logits : str
        Tensor that it gives, behind the bias and a factor, before the activation.
    nodes : tuple of str
        Names of the tensors that its nodes compute: product, sum, factor.
    weight_name, bias_name : str
        Their constants; "" where there is no bias.
    weight : ndarray of float64, shape (n_features, n_outputs)
    bias : ndarray of float64, shape (n_outputs,)
        As ``logits = features @ weight + bias``, with all factors in them.
    is_transposed : bool
        Does the file store the weights as (n_outputs, n_features)?
    activation : str
        "softmax", "log_softmax", "sigmoid" or "none".
    kind : str
        Operator of the product: "Gemm", "MatMul" or "Conv".
    """

    output: str
    features: str
    logits: str
    nodes: tuple[str, ...]
    weight_name: str
    bias_name: str
    weight: Array
    bias: Array
    is_transposed: bool
    activation: str
    kind: str

    @property
    def n_features(self) -> int:
        """Numbers that it reads of a row."""
        return int(self.weight.shape[0])

    @property
    def n_outputs(self) -> int:
        """Numbers that it gives for a row."""
        return int(self.weight.shape[1])


def find_head(graph: Model, *, output: str | None = None) -> Head:
    """Find the dense layer that an output comes from.

    Parameters
    ----------
    graph : trimtab.graph.Model
    output : str, optional
        The first output by default.

    Returns
    -------
    head : Head

    Raises
    ------
    UnsupportedOpError
        The output does not come from a dense layer with weights in float; the message
        says what is there instead.
    InputError
        There is no such output.

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> nodes = [Node("MatMul", ["x", "w"], ["z"]), Node("Softmax", ["z"], ["y"])]
    >>> w = Constant.of(np.eye(3, 2, dtype=np.float32))
    >>> graph = Graph("g", [Value("x")], [Value("y")], nodes, {"w": w})
    >>> head = find_head(Model(graph, {"": 18}))
    >>> head.features, head.activation, head.n_features, head.n_outputs
    ('x', 'softmax', 3, 2)
    """
    parts = walk_back(graph, _output(graph, output))
    weight, bias = _read(graph, parts)
    return Head(
        output=parts.output,
        features=parts.features,
        logits=parts.logits,
        nodes=tuple(node.outputs[0] for node in parts.nodes),
        weight_name=parts.weight,
        bias_name=parts.bias,
        weight=weight,
        bias=bias,
        is_transposed=parts.is_transposed,
        activation=parts.activation,
        kind=parts.product.op_type,
    )


def _output(graph: Model, output: str | None) -> str:
    names = [value.name for value in graph.graph.outputs]
    if not names or (output is not None and output not in names):
        raise InputError(f"output: expected one of {names}, got {output!r}")
    return names[0] if output is None else output


def _read(graph: Model, parts: Parts) -> tuple[Array, Array]:
    """Weights and bias in float64 as the logits see them."""
    constants = graph.graph.constants
    held = np.asarray(constants[parts.weight].numpy(), np.float64)
    flat: Array = held.reshape(held.shape[:2])
    weight: Array = flat.T if parts.is_transposed else flat
    n_outputs = int(weight.shape[1])
    bias = np.zeros(n_outputs)
    if parts.bias:
        stored = np.asarray(constants[parts.bias].numpy(), np.float64)
        bias = np.broadcast_to(stored.reshape(-1), n_outputs) * parts.beta
    return weight * (parts.alpha * parts.scale), bias * parts.scale


# ---- what it reads ------------------------------------------------------------------


def features(model: LoadedModel, head: Head, inputs: Mapping[str, Array]) -> Array:
    """Give what the head reads of some rows, computed by the engine.

    Parameters
    ----------
    model : trimtab.Model
        That the head is of.
    head : Head
    inputs : mapping of str to ndarray
        By the model's names; dim 0 counts rows.

    Returns
    -------
    features : ndarray of float32 or float64, shape (n, n_features)

    Raises
    ------
    InputError
        The tensor has not one row of numbers for each row of the inputs.

    Examples
    --------
    >>> features(model, find_head(graph), {"image": x}).shape  # doctest: +SKIP
    (200, 1280)
    """
    found = tap_rows(model, inputs, head.features)
    n = len(found)
    if found.size != n * head.n_features:
        raise InputError(
            f"{head.features!r}, which the last layer reads, has shape "
            f"{list(found.shape)}: expected [{n}, {head.n_features}], one row of "
            "features for each"
        )
    return found.reshape(n, head.n_features)


# ---- another in its place -----------------------------------------------------------


def with_head(graph: Model, head: Head, weight: Array, bias: Array) -> Model:
    """Give the graph with other weights in its head.

    Parameters
    ----------
    graph : trimtab.graph.Model
        That the head was found in; is not changed.
    head : Head
    weight : ndarray of shape (n_features, n_outputs)
        As ``logits = features @ weight + bias``; factors of the file are taken care
        of. There may be more outputs than before.
    bias : ndarray of shape (n_outputs,)

    Returns
    -------
    graph : trimtab.graph.Model

    Raises
    ------
    InputError
        Shapes do not fit, or a number is not finite.

    Examples
    --------
    >>> with_head(graph, head, head.weight / 2, head.bias / 2)  # doctest: +SKIP
    Model('g': image -> logits, 120 nodes)
    """
    weight, bias = _checked(head, weight, bias)
    made = graph.copy()
    parts = walk_back(made, head.output)
    wiring = Wiring(made)
    product = parts.product
    dtype = np.dtype(made.graph.constants[parts.weight].dtype)
    stored = (weight.T if parts.is_held_transposed else weight) / parts.scale
    shift = (bias / parts.scale).astype(dtype)
    if product.op_type == "Gemm":
        product.attributes.update(alpha=1.0, beta=1.0)
    elif product.op_type == "Conv":
        stored = stored.reshape(*stored.shape, *_pixel(made, parts))
    _store(wiring, product, 1, parts.weight, stored.astype(dtype))
    if parts.add is not None:
        at = parts.add.inputs.index(parts.bias)
        _store(wiring, parts.add, at, parts.bias, shift)
    elif product.op_type != "MatMul":
        _store(wiring, product, 2, parts.bias, shift)
    elif bias.any():
        _insert_sum(wiring, product, shift)
    if weight.shape[1] != head.n_outputs:
        _resize(wiring, parts, head.n_outputs, weight.shape[1])
    wiring.refresh()
    wiring.drop_unread()
    return made


def _pixel(graph: Model, parts: Parts) -> tuple[int, ...]:
    return graph.graph.constants[parts.weight].shape[2:]


def _store(wiring: Wiring, node: Node, at: int, name: str, value: Array) -> None:
    """Give a node another constant: under its name, unless others read that too."""
    node.inputs.extend([""] * (at + 1 - len(node.inputs)))
    if node.inputs[at] == name and wiring.only_reader(name) is node:
        wiring.graph.constants[name] = Constant.of(value)
        return
    wanted = name or f"{node.outputs[0]}_bias"
    node.inputs[at] = wiring.add_constant(value, wanted)


def _insert_sum(wiring: Wiring, product: Node, bias: Array) -> None:
    """Add a bias where there is none: who reads the product reads the sum."""
    result = product.outputs[0]
    product.outputs[0] = wiring.unique(f"{result}_product")
    name = wiring.add_constant(bias, f"{result}_bias")
    wiring.refresh()
    add = Node("Add", [product.outputs[0], name], [result])
    wiring.insert_behind(product.outputs[0], [add])


def _resize(wiring: Wiring, parts: Parts, old: int, new: int) -> None:
    """Change the number of outputs where the graph states it."""
    graph = wiring.graph
    for node in parts.behind:
        shape = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.op_type != "Reshape" or shape is None:
            continue
        sizes = shape.numpy().copy()
        if sizes.size and sizes[-1] == old:
            sizes[-1] = new
            _store(wiring, node, 1, node.inputs[1], sizes)
    for i, value in enumerate(graph.outputs):
        if value.shape and value.shape[-1] == old and value.name == parts.output:
            shape_of = (*value.shape[:-1], new)
            graph.outputs[i] = Value(value.name, value.dtype, shape_of)


def _checked(head: Head, weight: Array, bias: Array) -> tuple[Array, Array]:
    weight = np.asarray(weight, np.float64)
    bias = np.asarray(bias, np.float64)
    if (
        weight.ndim != 2
        or weight.shape[0] != head.n_features
        or bias.shape != weight.shape[1:]
    ):
        raise InputError(
            f"the head takes weights of shape [{head.n_features}, outputs] and a bias "
            f"of [outputs], got {list(weight.shape)} and {list(bias.shape)}"
        )
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError("the head's new weights hold NaN or infinity")
    return weight, bias
