"""Convolutions and pools of com.microsoft: with an activation behind them, a sum, or
channels last."""

from __future__ import annotations

from trimtab.formats.onnx_contrib_common import activate, maybe, numbers, permuted, text
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node

__all__ = ["write_fused_conv", "write_nhwc_conv", "write_nhwc_pool"]

_MIN_RANK, _MAX_RANK = 3, 8
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_POOL = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")


def _to_first(w: MlWriter, node: Node, tensor: str, rank: int) -> str:
    return permuted(w, node, tensor, [0, rank - 1, *range(1, rank - 1)])


def _to_last(w: MlWriter, node: Node, tensor: str, rank: int) -> None:
    permuted(w, node, tensor, [0, *range(2, rank), 1], node.outputs[0])


def _conv(w: MlWriter, node: Node, inputs: list[str], output: str) -> str:
    """Conv, the sum with input 3, and the activation."""
    more = {k: v for k, v in node.attributes.items() if k in _CONV}
    kind = text(node, "activation")
    parameters = numbers(node, "activation_params")
    conv = inputs[:3] if len(inputs) > 2 and inputs[2] else inputs[:2]
    last = "" if kind else output
    added = inputs[3] if len(inputs) > 3 else ""
    y = w.op(node, "Conv", conv, "" if added else last, **more)
    if added:
        y = w.op(node, "Add", [y, added], last)
    if kind:
        found = output or w.free(f"{node.name}.{kind}")
        activate(w, node, kind, parameters, y, found)
        return found
    return y


def write_fused_conv(w: MlWriter, node: Node) -> None:
    """FusedConv: Conv, an addition and an activation.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_fused_conv(w, node)                       # doctest: +SKIP
    """
    _conv(w, node, list(node.inputs), node.outputs[0])


def _rank(w: MlWriter, node: Node) -> int:
    shape = numbers(node, "kernel_shape")
    rank = len(shape) + 2 if shape else w.rank_of(maybe(node, 1))
    if rank is None or not _MIN_RANK <= rank <= _MAX_RANK:
        raise Keep
    return rank


def write_nhwc_conv(w: MlWriter, node: Node) -> None:
    """NhwcConv and NhwcFusedConv: the same over channels that come last.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_nhwc_conv(w, node)                        # doctest: +SKIP
    """
    rank, inputs = _rank(w, node), list(node.inputs)
    inputs[0] = _to_first(w, node, inputs[0], rank)
    if len(inputs) > 3 and inputs[3]:
        inputs[3] = _to_first(w, node, inputs[3], rank)
    _to_last(w, node, _conv(w, node, inputs, ""), rank)


def write_nhwc_pool(w: MlWriter, node: Node) -> None:
    """NhwcMaxPool: MaxPool over channels that come last.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_nhwc_pool(w, node)                        # doctest: +SKIP
    """
    more = {k: v for k, v in node.attributes.items() if k in _POOL}
    rank = _rank(w, node)
    x = _to_first(w, node, node.inputs[0], rank)
    _to_last(w, node, w.op(node, "MaxPool", [x], **more), rank)
