"""DynamicQuantizeLSTM of com.microsoft: LSTM over the weights that its bytes mean.

onnxruntime rounds the inputs of each step to bytes too; here they stay as they are, so
results are those of the real weights, nearer to the model before it was quantised."""

from __future__ import annotations

import numpy as np

from trimtab.formats.onnx_contrib_common import constant_of, maybe
from trimtab.formats.onnx_ml_write import Keep, MlWriter
from trimtab.graph import Node
from trimtab.types import Array

__all__ = ["write_dynamic_lstm"]


def _weights(w: MlWriter, node: Node, i: int, scale: int) -> str:
    """Input i [directions, inputs, 4 hidden], as LSTM has it."""
    packed = constant_of(w, node.inputs[i])
    scales = constant_of(w, node.inputs[scale])
    zeros = constant_of(w, node.inputs[scale + 1])
    if packed.ndim != 3 or packed.dtype not in (np.int8, np.uint8):
        raise Keep
    real = (packed.astype(np.float32) - _columns(zeros, packed)) * _columns(
        scales, packed
    )
    return w.constant(node, np.ascontiguousarray(real.transpose(0, 2, 1)))


def _columns(values: Array, packed: Array) -> Array:
    """One value per direction, or per column of each, over the weights."""
    directions, _, columns = packed.shape
    if values.size not in (directions, directions * columns):
        raise Keep
    return values.reshape(directions, 1, -1).astype(np.float32)


def write_dynamic_lstm(w: MlWriter, node: Node) -> None:
    """DynamicQuantizeLSTM with weights that are constants.

    Parameters
    ----------
    w : MlWriter
    node : Node

    Examples
    --------
    >>> write_dynamic_lstm(w, node)                     # doctest: +SKIP
    """
    inputs = [
        node.inputs[0],
        _weights(w, node, 1, 8),
        _weights(w, node, 2, 10),
        *(maybe(node, i) for i in range(3, 8)),
    ]
    w.op(node, "LSTM", inputs, node.outputs[0], **node.attributes)
    w.nodes[-1].outputs = list(node.outputs)
