"""Embeddings and gated activations of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.formats.onnx_contrib_common import MICROSOFT, maybe, number, wanted, whole
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node

__all__ = ["write_bias_split_gelu", "write_embed_layer_norm", "write_swiglu"]

_SWISH_SINCE = 24


def _positions(w: MlWriter, node: Node) -> str:
    """Rows of the table of positions: those of input 8, else the first ones."""
    table = node.inputs[3]
    if maybe(node, 8):
        return w.op(node, "Gather", [table, node.inputs[8]], axis=0)
    shape = w.op(node, "Shape", [node.inputs[0]])
    one = w.constant(node, np.array([1], np.int64))
    zero = w.constant(node, np.array([0], np.int64))
    tokens = w.op(node, "Gather", [shape, one], axis=0)
    return w.op(node, "Slice", [table, zero, tokens, zero])


def _write_lengths(w: MlWriter, node: Node) -> None:
    """How many tokens of each batch count."""
    output, mask = wanted(node, 1), maybe(node, 7)
    if not output:
        return
    if mask:
        if w.opset >= 13:
            axes = w.constant(node, np.array([1], np.int64))
            w.op(node, "ReduceSum", [mask, axes], output, keepdims=0)
        else:
            w.op(node, "ReduceSum", [mask], output, axes=[1], keepdims=0)
        return
    shape = w.op(node, "Shape", [node.inputs[0]])
    zero = w.constant(node, np.array([0], np.int64))
    batch = w.op(node, "Gather", [shape, zero], axis=0)
    none = w.constant(node, np.array([0], np.int32))
    w.op(node, "Expand", [none, batch], output)


def write_embed_layer_norm(w: MlWriter, node: Node) -> None:
    """EmbedLayerNormalization: words, positions and segments, normalised.

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
    >>> write_embed_layer_norm(w, node)                 # doctest: +SKIP
    """
    if whole(node, "mask_index_type"):
        raise Keep
    found = w.op(node, "Gather", [node.inputs[2], node.inputs[0]], axis=0)
    parts = [_positions(w, node)]
    if node.inputs[1] and node.inputs[4]:
        parts.append(w.op(node, "Gather", [node.inputs[4], node.inputs[1]], axis=0))
    for i, part in enumerate(parts):
        last = wanted(node, 2) if i + 1 == len(parts) else ""
        found = w.op(node, "Add", [found, part], last)
    epsilon = number(node, "epsilon", 1e-12)
    inputs = [found, *node.inputs[5:7]]
    w.op(node, "LayerNormalization", inputs, node.outputs[0], epsilon=epsilon, axis=-1)
    _write_lengths(w, node)


def write_bias_split_gelu(w: MlWriter, node: Node) -> None:
    """BiasSplitGelu: one half of x + bias times the gelu of the other.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_bias_split_gelu(w, node)                  # doctest: +SKIP
    """
    both = w.op(node, "Add", node.inputs[:2])
    more: dict[str, Any] = {"num_outputs": 2} if w.opset >= 18 else {}
    left = w.op(node, "Split", [both], axis=-1, **more)
    right = w.free(f"{node.name}.right")
    w.nodes[-1].outputs.append(right)
    gate = w.op(node, "Gelu", [right], domain=MICROSOFT)
    w.op(node, "Mul", [left, gate], node.outputs[0])


def write_swiglu(w: MlWriter, node: Node) -> None:
    """SwiGLU: swish of one input times the other.

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
    >>> write_swiglu(w, node)                           # doctest: +SKIP
    """
    if w.opset < _SWISH_SINCE:
        raise Keep
    alpha = number(node, "alpha", 1.0)
    gate = w.op(node, "Swish", node.inputs[:1], alpha=alpha)
    w.op(node, "Mul", [gate, node.inputs[1]], node.outputs[0])
