"""A factor and a shift of the logits, written into a graph.

Into the last dense layer where there is one in float; else as Mul and Add in front of
the activation, or behind Log where a model gives probabilities that it makes itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import UnsupportedOpError
from trimtab.graph import Constant, Model, Node
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.update.head import find_head, with_head
from trimtab.update.head_parts import ACTIVATIONS, THROUGH

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["End", "find_end", "with_calibration"]

_FACTOR, _SHIFT = "calibration_factor", "calibration_shift"
# Nodes between an output and its activation, at most.
_N_BEHIND = 16
# Probabilities below count as this where their logarithm is taken.
_LEAST = 1e-30


@dataclass(frozen=True)
class End:
    """How a model ends.

    Parameters
    ----------
    output : str
    activation : str
        "softmax", "log_softmax", "sigmoid" or "none".
    logits : str
        Tensor before the activation; the output where there is none.
    """

    output: str
    activation: str
    logits: str


def find_end(graph: Model, output: str) -> End:
    """Find the activation that an output comes from.

    Parameters
    ----------
    graph : trimtab.graph.Model
    output : str

    Returns
    -------
    end : End

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> nodes = [Node("Relu", ["x"], ["z"]), Node("Sigmoid", ["z"], ["y"])]
    >>> graph = Graph("g", [Value("x")], [Value("y")], nodes)
    >>> find_end(Model(graph, {"": 18}), "y")
    End(output='y', activation='sigmoid', logits='z')
    """
    wiring = Wiring(graph)
    tensor = output
    for _ in range(_N_BEHIND):
        node = wiring.producer(tensor)
        if node is None or node.domain:
            break
        if node.op_type in ACTIVATIONS:
            return End(output, ACTIVATIONS[node.op_type], node.inputs[0])
        if not is_operator(node, *THROUGH):
            break
        tensor = node.inputs[0]
    return End(output, "none", output)


def with_calibration(
    graph: Model,
    output: str,
    factor: Array,
    shift: Array,
    *,
    dtype: str = "float32",
    rank: int = 2,
    class_axis: int = -1,
    is_probability: bool = False,
) -> Model:
    """Give the graph with ``logits * factor + shift`` in place of its logits.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    output : str
    factor : ndarray of shape () or (k,)
    shift : ndarray of shape (k,)
    dtype : str, default="float32"
        Of the output.
    rank : int, default=2
        Dims of the output.
    class_axis : int, default=-1
        Where the k numbers lie.
    is_probability : bool, default=False
        The output holds probabilities of classes. Where no activation makes them, their
        logarithms are the logits.

    Returns
    -------
    graph : trimtab.graph.Model

    Raises
    ------
    UnsupportedOpError
        There is no place for them.

    Examples
    --------
    >>> with_calibration(graph, "y", np.array(0.5), np.zeros(10))  # doctest: +SKIP
    Model('g': x -> y, 12 nodes)
    """
    factor, shift = np.asarray(factor, np.float64), np.asarray(shift, np.float64)
    if rank == 2:
        try:
            head = find_head(graph, output=output)
        except UnsupportedOpError:
            head = None
        is_made = is_probability and head is not None and head.activation == "none"
        if head is not None and head.n_outputs == shift.size and not is_made:
            weight, bias = head.weight * factor, head.bias * factor + shift
            return with_head(graph, head, weight, bias)
    made = graph.copy()
    end = find_end(made, output)
    values = tuple(_placed(value, dtype, rank, class_axis) for value in (factor, shift))
    if end.activation == "none" and is_probability:
        axis = rank - 1 if class_axis == -1 else class_axis
        _insert_softmax(made, output, values, axis)
    else:
        _insert(made, end.logits, values)
    return made


def _placed(value: Array, dtype: str, rank: int, class_axis: int) -> Array:
    """A vector as it meets the dims of the logits."""
    value = value.astype(np.dtype(dtype))
    if value.ndim == 0 or class_axis in (-1, rank - 1):
        return value
    return value.reshape(-1, *(1,) * (rank - 1 - class_axis))


def _insert(graph: Model, tensor: str, values: tuple[Array, ...]) -> None:
    """Put Mul and Add behind a tensor, or into those that an update put there."""
    wiring = Wiring(graph)
    constants = graph.graph.constants
    add = wiring.producer(tensor)
    mul = wiring.producer(add.inputs[0]) if is_operator(add, "Add") and add else None
    if _is_ours(add, _SHIFT) and _is_ours(mul, _FACTOR) and add and mul:
        old = [constants[node.inputs[1]].numpy() for node in (mul, add)]
        constants[mul.inputs[1]] = Constant.of(old[0] * values[0])
        constants[add.inputs[1]] = Constant.of(old[1] * values[0] + values[1])
        return
    raw = wiring.unique(f"{tensor}_raw")
    _rename(graph, tensor, raw)
    between = wiring.unique(f"{tensor}_scaled")
    nodes = [
        Node("Mul", [raw, wiring.add_constant(values[0], _FACTOR)], [between]),
        Node("Add", [between, wiring.add_constant(values[1], _SHIFT)], [tensor]),
    ]
    wiring.refresh()
    wiring.insert_behind(raw, nodes)


def _is_ours(node: Node | None, name: str) -> bool:
    return (
        node is not None and len(node.inputs) == 2 and node.inputs[1].startswith(name)
    )


def _rename(graph: Model, tensor: str, new: str) -> None:
    """Let the node that computes a tensor call it something else."""
    for node in graph.graph.nodes:
        if tensor in node.outputs:
            node.outputs[node.outputs.index(tensor)] = new
            return
    raise UnsupportedOpError(
        f"{tensor!r} is an input of the model: nothing computes it"
    )


def _insert_softmax(
    graph: Model, output: str, values: tuple[Array, ...], class_axis: int
) -> None:
    """Take the logarithms of probabilities, and make others of what they become."""
    wiring = Wiring(graph)
    raw, logits = wiring.unique(f"{output}_raw"), wiring.unique(f"{output}_logits")
    kept = wiring.unique(f"{output}_kept")
    _rename(graph, output, raw)
    least = wiring.add_constant(np.asarray(_LEAST, values[1].dtype), "least_share")
    attributes = {"axis": class_axis}
    wiring.refresh()
    wiring.insert_behind(
        raw,
        [
            Node("Max", [raw, least], [kept]),
            Node("Log", [kept], [logits]),
            Node("Softmax", [logits], [output], attributes=attributes),
        ],
    )
    _insert(graph, logits, values)
