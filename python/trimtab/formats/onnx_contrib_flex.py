"""FlexAttention of ai.onnx.preview: its bodies become part of the graph.

Without bodies it is Attention. Else: scores, the one body, Softmax, the other body, and
the product with the values; query heads that share a head of keys are a dim of their
own meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.formats.onnx_contrib_common import DTYPE_CODES, number, whole
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Graph, Node

__all__ = ["write_flex_attention"]

_SINCE = 23  # Attention
_PRECISIONS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}


# ---- bodies ------------------------------------------------------------------------


def _rename(node: Node, names: dict[str, str]) -> None:
    """Other names for what a node and the bodies inside it read and give."""
    waiting: list[Node] = [node]
    for found in waiting:  # grows while it is walked
        found.inputs = [names.get(name, name) for name in found.inputs]
        found.outputs = [names.get(name, name) for name in found.outputs]
        for body in found.bodies:
            for value in body.outputs:
                value.name = names.get(value.name, value.name)
            waiting += body.nodes


def _inline(w: MlWriter, node: Node, body: Graph, tensor: str) -> str:
    """The nodes of a body with one input and one output, after `tensor`."""
    if len(body.inputs) != 1 or len(body.outputs) != 1:
        raise Keep
    names = {body.inputs[0].name: tensor}
    for name, constant in body.constants.items():
        names[name] = w.hold(f"{node.name}.{name}", constant)
    for inner in body.nodes:
        for name in inner.outputs:
            if name and name not in names:
                names[name] = w.free(f"{node.name}.{name}")
    for inner in body.nodes:
        _rename(inner, names)
        inner.name = f"{node.name}.{inner.name}"
        w.nodes.append(inner)
    result = names.get(body.outputs[0].name, body.outputs[0].name)
    body.nodes, body.inputs, body.outputs, body.constants = [], [], [], {}
    return result


# ---- the operator ------------------------------------------------------------------


@dataclass
class _Shapes:
    """Tensors of dims: heads of keys, groups and so on come from these."""

    w: MlWriter
    node: Node

    def ints(self, *values: int) -> str:
        return self.w.constant(self.node, np.array(values, np.int64))

    def dims(self, tensor: str, *which: int) -> str:
        shape = self.w.op(self.node, "Shape", [tensor])
        return self.w.op(self.node, "Gather", [shape, self.ints(*which)], axis=0)

    def reshape(self, tensor: str, *parts: str) -> str:
        shape = self.w.op(self.node, "Concat", list(parts), axis=0)
        return self.w.op(self.node, "Reshape", [tensor, shape])


def _precision(w: MlWriter, node: Node) -> tuple[str, str | None]:
    """Type of the scores, and that of the inputs where it is known."""
    dtype = w.dtype_of(node.inputs[0])
    if "softmax_precision" not in node.attributes:
        return "float64" if dtype == "float64" else "float32", dtype
    given = whole(node, "softmax_precision")
    if given not in _PRECISIONS:
        raise Keep
    return _PRECISIONS[given], dtype


def _bodies(node: Node) -> tuple[Graph | None, Graph | None]:
    found = [node.attributes.get(name) for name in ("score_mod", "prob_mod")]
    if not all(x is None or isinstance(x, Graph) for x in found):
        raise Keep
    return found[0], found[1]


def _grouped_product(s: _Shapes, a: str, b: str, rows: str) -> str:
    """a [batch, heads, m, k] times b [batch, key heads, k, n]: heads of a share."""
    w, node = s.w, s.node
    heads = s.dims(b, 0, 1)
    a_5 = s.reshape(a, heads, s.ints(-1), s.dims(a, 2, 3))
    b_5 = w.op(node, "Unsqueeze", [b, s.ints(2)])
    product = w.op(node, "MatMul", [a_5, b_5])
    return s.reshape(product, s.dims(rows, 0, 1, 2), s.dims(b, 3))


def write_flex_attention(w: MlWriter, node: Node) -> None:
    """FlexAttention with its bodies, if any.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Raises
    ------
    Keep
        It is of another kind.

    Examples
    --------
    >>> write_flex_attention(w, node)                   # doctest: +SKIP
    """
    score_mod, prob_mod = _bodies(node)
    more: dict[str, Any] = {}
    if "scale" in node.attributes:
        more["scale"] = number(node, "scale", 1.0)
    if w.opset < _SINCE:
        raise Keep
    if score_mod is None and prob_mod is None:
        w.op(node, "Attention", list(node.inputs), node.outputs[0], **more)
        return
    s = _Shapes(w, node)
    precision, dtype = _precision(w, node)
    q, k, v = node.inputs
    if dtype != precision:
        code = DTYPE_CODES[precision]
        q, k, v = (w.op(node, "Cast", [x], to=code) for x in (q, k, v))
    columns = w.op(node, "Transpose", [k], perm=[0, 1, 3, 2])
    if "scale" in more:
        given = w.constant(node, np.array(more["scale"], np.float32))
        scale = w.op(node, "CastLike", [given, q])
    else:
        size = w.op(node, "CastLike", [s.dims(q, 3), q])
        scale = w.op(node, "Reciprocal", [w.op(node, "Sqrt", [size])])
    columns = w.op(node, "Mul", [columns, scale])
    found = _grouped_product(s, q, columns, q)
    if score_mod is not None:
        found = _inline(w, node, score_mod, found)
    found = w.op(node, "Softmax", [found], axis=-1)
    if prob_mod is not None:
        found = _inline(w, node, prob_mod, found)
    y = _grouped_product(s, found, v, q)
    w.op(node, "CastLike", [y, node.inputs[0]], node.outputs[0])
