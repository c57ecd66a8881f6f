"""Linear models of ai.onnx.ml, in plain operators."""

from __future__ import annotations

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.onnx_ml_write import Keep, MlWriter, attribute
from trimtab.graph import Node
from trimtab.types import Array

__all__ = [
    "write_linear_classifier",
    "write_linear_regressor",
]


def _post_transform(
    w: MlWriter, node: Node, scores: str, output: str, n_columns: int
) -> None:
    kind = node.attributes.get("post_transform", "NONE")
    if kind == "NONE":
        w.op(node, "Identity", [scores], output)
    elif kind == "LOGISTIC":
        w.op(node, "Sigmoid", [scores], output)
    elif kind == "SOFTMAX" and n_columns > 1:
        w.op(node, "Softmax", [scores], output, axis=1)
    else:
        raise Keep


def _affine(w: MlWriter, node: Node, n_rows: int) -> str:
    """X W^T + b of the attributes coefficients and intercepts."""
    weights = attribute(node, "coefficients")
    if not n_rows or weights.size % n_rows or not weights.size:
        raise ModelFormatError(
            f"{node.op_type} {node.name!r}: {weights.size} coefficients for {n_rows} "
            "targets"
        )
    matrix = np.ascontiguousarray(weights.reshape(n_rows, -1).T)
    x = w.floats(node, node.inputs[0])
    y = w.op(node, "MatMul", [x, w.constant(node, matrix)])
    bias = attribute(node, "intercepts")
    return w.op(node, "Add", [y, w.constant(node, bias)]) if bias.size else y


def write_linear_regressor(w: MlWriter, node: Node) -> None:
    """Write a LinearRegressor node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_linear_regressor(writer, node)   # doctest: +SKIP
    """
    targets = int(node.attributes.get("targets", 1))
    scores = _affine(w, node, targets)
    _post_transform(w, node, scores, node.outputs[0], targets)


def write_linear_classifier(w: MlWriter, node: Node) -> None:
    """Write a LinearClassifier node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_linear_classifier(writer, node)   # doctest: +SKIP
    """
    labels = attribute(node, "classlabels_ints", "int64")
    n_scores = len(attribute(node, "intercepts"))
    if n_scores != len(labels) or n_scores < 2:
        raise Keep
    scores = _affine(w, node, n_scores)
    _label(w, node, scores, labels)
    if len(node.outputs) > 1 and node.outputs[1]:
        _post_transform(w, node, scores, node.outputs[1], n_scores)


def _label(w: MlWriter, node: Node, scores: str, labels: Array) -> None:
    if not node.outputs[0]:
        return
    best = w.op(node, "ArgMax", [scores], axis=1, keepdims=0)
    table = w.constant(node, labels)
    w.op(node, "Gather", [table, best], node.outputs[0], axis=0)
