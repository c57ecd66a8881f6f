"""Operators without a rule of their own, as formulas of others that have one.

They are rewritten before differentiation, and only where something that is learned goes
through them. `SPELLED` is the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from trimtab.errors import UnsupportedOpError
from trimtab.graph import Graph, Node
from trimtab.train.emitter import Emitter, Tensor

__all__ = ["SPELLED", "spell_out"]

_Formula: TypeAlias = Callable[[Emitter, Node], Tensor]

# Operators whose result is a truth value, and such that keep the type of input 0.
_TRUTHS = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not",
           "Or", "Xor", "IsNaN", "IsInf")  # fmt: skip
_SAME = ("Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze",
         "Tile", "Transpose", "Trilu", "Unsqueeze")  # fmt: skip
_LOWEST = -3e38


def spell_out(emitter: Emitter, depending: Collection[str]) -> None:
    """Rewrite the nodes of `SPELLED` of which an output is in `depending`.

    Parameters
    ----------
    emitter : Emitter
        Its graph is edited.
    depending : collection of str
        Tensors that depend on what is learned.

    Raises
    ------
    UnsupportedOpError
        A node uses what the formula lacks.

    Examples
    --------
    >>> spell_out(emitter, {"y"})                          # doctest: +SKIP
    """
    graph = emitter.graph
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        formula = SPELLED.get(name)
        if formula is None or not any(x in depending for x in node.outputs):
            graph.nodes.append(node)
            continue
        y = formula(emitter, node)
        graph.nodes.append(Node("Identity", [y.name], [node.outputs[0]]))


def _inputs(e: Emitter, node: Node, n: int) -> list[Tensor | None]:
    names = [*node.inputs, *[""] * n][:n]
    return [e.tensor(name) if name else None for name in names]


def _given(e: Emitter, node: Node, n: int) -> list[Tensor]:
    return [e.tensor(name) for name in node.inputs[:n]]


def _refuse(node: Node, why: str) -> UnsupportedOpError:
    name = node.name or node.outputs[0]
    return UnsupportedOpError(f"{node.op_type} {name!r} has no gradient here: {why}")


def _only_first(node: Node) -> None:
    if any(node.outputs[1:]):
        raise _refuse(node, "outputs other than the first are used")


# ---- attention -----------------------------------------------------------------------


def _is_truth(graph: Graph, name: str) -> bool:
    """Does a mask say which keys to keep, or is it added to the scores?"""
    dtypes = {value.name: value.dtype for value in graph.inputs}
    dtypes.update({n: c.dtype for n, c in graph.constants.items()})
    made_by = {n: node for node in graph.nodes for n in node.outputs}
    while name not in dtypes and name in made_by:
        node = made_by[name]
        if node.op_type in _TRUTHS:
            return True
        if node.op_type == "Cast":
            return int(node.attributes.get("to", 1)) == 9
        if node.op_type not in _SAME:
            return False
        name = node.inputs[0]
    return dtypes.get(name) == "bool"


def _heads(e: Emitter, x: Tensor, n_heads: int) -> Tensor:
    """[batch, tokens, heads size] as [batch, heads, tokens, size]."""
    split = e.emit("Reshape", x, e.ints([0, 0, n_heads, -1]))
    return e.emit("Transpose", split, perm=[0, 2, 1, 3])


def _dim(e: Emitter, x: Tensor, i: int) -> Tensor:
    return e.emit("Gather", e.shape(x), e.ints([i]))


def _repeated(e: Emitter, x: Tensor, heads: Tensor) -> Tensor:
    """Keys or values whose heads several heads of queries share."""
    one = e.ints([1])
    times = e.emit("Div", heads, _dim(e, x, 1))
    wide = e.emit("Unsqueeze", x, e.ints([2]))
    wide = e.emit("Expand", wide, e.emit("Concat", one, one, times, one, one, axis=0))
    dims = (_dim(e, x, 0), heads, _dim(e, x, 2), _dim(e, x, 3))
    return e.emit("Reshape", wide, e.emit("Concat", *dims, axis=0))


def _scale(e: Emitter, node: Node, q: Tensor) -> Tensor:
    given = node.attributes.get("scale")
    if given is not None:
        return e.number(float(given))
    size = e.emit("CastLike", e.emit("Gather", e.shape(q), e.ints([3])), e.number(0.0))
    return 1.0 / e.emit("Sqrt", size)


def _causal(e: Emitter, scores: Tensor) -> Tensor:
    """Query i may see keys up to i."""
    dims = e.emit("Slice", e.shape(scores), e.ints([-2]), e.ints([2**31]))
    ones = e.emit("Expand", e.number(1.0), dims)
    return e.where(e.emit("Trilu", ones, upper=0) > 0.0, scores, _LOWEST)


def _attention(e: Emitter, node: Node) -> Tensor:
    _only_first(node)
    if any(node.inputs[4:]):
        raise _refuse(node, "it has a cache of keys and values, or lengths")
    windows = ("left_window_size", "right_window_size")
    if any(node.attributes.get(name, -1) != -1 for name in windows):
        raise _refuse(node, "it sees a window of keys")
    q, k, v = _given(e, node, 3)
    n_heads = int(node.attributes.get("q_num_heads", 0))
    n_shared = int(node.attributes.get("kv_num_heads", 0))
    if n_heads:
        q, k, v = (
            _heads(e, x, n) for x, n in ((q, n_heads), (k, n_shared), (v, n_shared))
        )
    if not n_heads or n_heads != n_shared:
        k, v = (_repeated(e, x, _dim(e, q, 1)) for x in (k, v))
    scores = e.emit("MatMul", q * _scale(e, node, q), e.ours("TransposeLast", k))
    p = e.emit("Softmax", _masked(e, node, scores), axis=-1)
    y = e.emit("MatMul", p, v)
    if not n_heads:
        return y
    y = e.emit("Transpose", y, perm=[0, 2, 1, 3])
    return e.emit("Reshape", y, e.ints([0, 0, -1]))


def _masked(e: Emitter, node: Node, scores: Tensor) -> Tensor:
    cap = float(node.attributes.get("softcap", 0.0))
    if cap > 0.0:
        scores = cap * e.emit("Tanh", scores / cap)
    mask = _inputs(e, node, 4)[3]
    if mask is not None:
        truth = _is_truth(e.graph, mask.name)
        scores = e.where(mask, scores, _LOWEST) if truth else scores + mask
    return _causal(e, scores) if node.attributes.get("is_causal", 0) else scores


# ---- normalisation -------------------------------------------------------------------


def _unit(e: Emitter, x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    """Mean 0 and variance 1 over axes."""
    over = e.ints(axes)
    centred = x - e.emit("ReduceMean", x, over)
    spread = e.emit("ReduceMean", centred * centred, over) + epsilon
    return centred / e.emit("Sqrt", spread)


def _scaled(e: Emitter, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """[N, C, items] with a scale and a shift for each of C."""
    columns = [e.emit("Unsqueeze", v, e.ints([1])) for v in (scale, shift)]
    return x * columns[0] + columns[1]


def _epsilon(node: Node, fallback: float) -> float:
    return float(node.attributes.get("epsilon", fallback))


def _instance_norm(e: Emitter, node: Node) -> Tensor:
    x, scale, shift = _given(e, node, 3)
    flat = e.emit("Reshape", x, e.ints([0, 0, -1]))
    unit = _unit(e, flat, [2], _epsilon(node, 1e-5))
    return e.reshape_as(_scaled(e, unit, scale, shift), x)


def _group_norm(e: Emitter, node: Node) -> Tensor:
    """Scale and shift are per group until opset 20, then per channel."""
    x, scale, shift = _given(e, node, 3)
    n_groups = int(node.attributes["num_groups"])
    grouped = e.emit("Reshape", x, e.ints([0, n_groups, -1]))
    unit = _unit(e, grouped, [2], _epsilon(node, 1e-5))
    if e.model.opsets.get("", 0) >= 21:
        dims = e.emit("Slice", e.shape(x), e.ints([0]), e.ints([2]))
        unit = e.emit("Reshape", unit, e.emit("Concat", dims, e.ints([-1]), axis=0))
    return e.reshape_as(_scaled(e, unit, scale, shift), x)


def _lrn(e: Emitter, node: Node) -> Tensor:
    """x / (bias + alpha mean of squares of the channels around) ^ beta."""
    (x,) = _given(e, node, 1)
    size = int(node.attributes["size"])
    values: dict[str, Any] = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, bias = (
        float(node.attributes.get(n, fallback)) for n, fallback in values.items()
    )
    dims = e.emit("Slice", e.shape(x), e.ints([0]), e.ints([2]))
    image = e.emit(
        "Concat",
        e.emit("Gather", dims, e.ints([0])),
        e.ints([1]),
        e.emit("Gather", dims, e.ints([1])),
        e.ints([-1]),
        axis=0,
    )
    mean = e.emit(
        "AveragePool",
        e.emit("Reshape", x * x, image),
        kernel_shape=[size, 1],
        pads=[(size - 1) // 2, 0, math.ceil((size - 1) / 2), 0],
        count_include_pad=1,
    )
    spread = e.reshape_as(mean, x) * alpha + bias
    return x / e.emit("Pow", spread, e.number(beta))


def _skip_norm(name: str, *, has_shift: bool) -> _Formula:
    """Normalisation of a sum (com.microsoft)."""

    def formula(e: Emitter, node: Node) -> Tensor:
        _only_first(node)
        x, skip, scale, *rest = _inputs(e, node, 5)
        if x is None or skip is None or scale is None:
            raise _refuse(node, "inputs are absent")
        shift, bias = rest if has_shift else (None, rest[0])
        total = x + skip if bias is None else x + skip + bias
        inputs = [total, scale] if shift is None else [total, scale, shift]
        return e.emit(name, *inputs, axis=-1, epsilon=_epsilon(node, 1e-12))

    return formula


#: Operator, with its domain and a dot before it where that is not ai.onnx -> formula.
SPELLED: dict[str, _Formula] = {
    "Attention": _attention,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "com.microsoft.SkipLayerNormalization": _skip_norm(
        "LayerNormalization", has_shift=True
    ),
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm(
        "SimplifiedLayerNormalization", has_shift=False
    ),
}
