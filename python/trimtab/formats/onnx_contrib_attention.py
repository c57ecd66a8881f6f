"""Attention and QAttention of com.microsoft: one product for queries, keys and values,
then MultiHeadAttention, which the engine has."""

from __future__ import annotations

import numpy as np

from trimtab.formats.onnx_contrib_common import (
    MICROSOFT,
    maybe,
    numbers,
    split,
    wanted,
    whole,
)
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node

__all__ = ["write_attention", "write_q_attention"]

_KEPT = ("mask_filter_value", "num_heads", "scale", "unidirectional")
_UNKNOWN = ("do_rotary", "past_present_share_buffer")


def _widths(w: MlWriter, node: Node) -> list[int]:
    """Items of the queries, keys and values of a token."""
    given = numbers(node, "qkv_hidden_sizes")
    if given:
        sizes = [int(size) for size in given]
    else:
        shape = w.shape_of(node.inputs[1])
        if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
            raise Keep
        sizes = [shape[1] // 3] * 3
    if len(sizes) != 3 or min(sizes) < 1:
        raise Keep
    return sizes


def _unjoined(w: MlWriter, node: Node, past: str) -> list[str]:
    """The past of keys and of values."""
    parts = split(w, node, past, [1, 1], 0)
    return [_reshaped_axis(w, node, "Squeeze", part) for part in parts]


def _reshaped_axis(w: MlWriter, node: Node, op_type: str, tensor: str) -> str:
    """Squeeze or Unsqueeze of the first dim."""
    if w.opset < 13:
        return w.op(node, op_type, [tensor], axes=[0])
    axes = w.constant(node, np.array([0], np.int64))
    return w.op(node, op_type, [tensor, axes])


def _write_heads(
    w: MlWriter, node: Node, joined: str, mask: str, bias: str, past: str
) -> None:
    """What follows the product `joined` of queries, keys and values."""
    parts = split(w, node, joined, _widths(w, node), 2)
    caches = _unjoined(w, node, past) if past else ["", ""]
    inputs = [*parts, "", mask, bias, *caches]
    more = {k: v for k, v in node.attributes.items() if k in _KEPT}
    outputs = [node.outputs[0]]
    w.op(node, "MultiHeadAttention", inputs, outputs[0], domain=MICROSOFT, **more)
    if wanted(node, 1):
        present = [w.free(f"{node.name}.present{i}") for i in range(2)]
        w.nodes[-1].outputs += present
        both = [_reshaped_axis(w, node, "Unsqueeze", tensor) for tensor in present]
        w.op(node, "Concat", both, wanted(node, 1), axis=0)


def _check(node: Node) -> None:
    if any(whole(node, name) for name in _UNKNOWN):
        raise Keep


def write_attention(w: MlWriter, node: Node) -> None:
    """Attention of com.microsoft.

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
    >>> write_attention(w, node)                        # doctest: +SKIP
    """
    _check(node)
    if maybe(node, 6):
        raise Keep
    joined = w.op(node, "MatMul", node.inputs[:2])
    if maybe(node, 2):
        joined = w.op(node, "Add", [joined, node.inputs[2]])
    _write_heads(w, node, joined, maybe(node, 3), maybe(node, 5), maybe(node, 4))


def write_q_attention(w: MlWriter, node: Node) -> None:
    """QAttention: the same with a product of bytes.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_q_attention(w, node)                      # doctest: +SKIP
    """
    _check(node)
    product = [*node.inputs[:2], maybe(node, 6), maybe(node, 7)]
    sums = w.floats(node, w.op(node, "MatMulInteger", product))
    scale = w.op(node, "Mul", node.inputs[3:5])
    joined = w.op(node, "Mul", [sums, scale])
    if node.inputs[2]:
        joined = w.op(node, "Add", [joined, node.inputs[2]])
    _write_heads(w, node, joined, maybe(node, 5), "", maybe(node, 8))
