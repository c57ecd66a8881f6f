"""Operators of TensorFlow that tf2onnx leaves as they are, in ONNX's operators.

Enters: tf2onnx's graph and a node of it. Leaves: the same graph with the node replaced.
Keras 3 writes GELU with Erfc; the others are as elementary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

__all__ = ["HANDLERS"]


class _Builder:
    """Adds nodes beside the one that is replaced."""

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph = graph
        self.inputs: list[str] = list(node.input)
        self._dtype: int = graph.get_dtype(node.output[0])

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        node = self._graph.make_node(op, list(inputs), attr=attributes)
        name: str = node.output[0]
        return name

    def number(self, value: float) -> str:
        from tf2onnx import utils

        dtype = utils.map_onnx_to_numpy_type(self._dtype)
        constant = self._graph.make_const(
            utils.make_name("number"), np.array(value, dtype)
        )
        name: str = constant.output[0]
        return name


def _erfc(b: _Builder) -> str:
    return b("Sub", b.number(1), b("Erf", b.inputs[0]))


def _log1p(b: _Builder) -> str:
    return b("Log", b("Add", b.number(1), b.inputs[0]))


def _expm1(b: _Builder) -> str:
    return b("Sub", b("Exp", b.inputs[0]), b.number(1))


def _unless_zero(b: _Builder, result: Callable[[], str], tested: int) -> str:
    """The result, and 0 where an input is 0."""
    is_zero = b("Equal", b.inputs[tested], b.number(0))
    return b("Where", is_zero, b.number(0), result())


def _xlogy(b: _Builder) -> str:
    x, y = b.inputs
    return _unless_zero(b, lambda: b("Mul", x, b("Log", y)), 0)


def _xdivy(b: _Builder) -> str:
    return _unless_zero(b, lambda: b("Div", *b.inputs), 0)


def _mul_no_nan(b: _Builder) -> str:
    return _unless_zero(b, lambda: b("Mul", *b.inputs), 1)


def _l2_loss(b: _Builder) -> str:
    x = b.inputs[0]
    squares = b("ReduceSumSquare", x, keepdims=0)
    return b("Mul", squares, b.number(0.5))


_OPERATORS: Mapping[str, Callable[[_Builder], str]] = {
    "Erfc": _erfc,
    "Expm1": _expm1,
    "L2Loss": _l2_loss,
    "Log1p": _log1p,
    "MulNoNan": _mul_no_nan,
    "Xdivy": _xdivy,
    "Xlogy": _xlogy,
}


def _replace(
    build: Callable[[_Builder], str], graph: Any, node: Any, name: str, arguments: Any
) -> None:
    """As tf2onnx calls a handler."""
    result = build(_Builder(graph, node))
    graph.replace_all_inputs(node.output[0], result)
    if node.output[0] in graph.outputs:
        graph.outputs = [result if x == node.output[0] else x for x in graph.outputs]
    graph.remove_node(node.name)


#: What ``process_tf_graph`` of tf2onnx takes.
HANDLERS: dict[str, tuple[Callable[..., None], list[Any]]] = {
    op: (partial(_replace, build), []) for op, build in _OPERATORS.items()
}
