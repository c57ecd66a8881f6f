"""Linear models, kernels and trees of ai.onnx.ml, in plain operators."""

from __future__ import annotations

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.onnx_ml_trees import read_trees
from trimtab.formats.onnx_ml_write import DOMAIN, Keep, MlWriter, attribute
from trimtab.graph import Node
from trimtab.types import Array

__all__ = [
    "write_linear_classifier",
    "write_linear_regressor",
    "write_svm_regressor",
    "write_tree_classifier",
    "write_tree_regressor",
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


# ---- linear models and kernels -----------------------------------------------------


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


def write_svm_regressor(w: MlWriter, node: Node) -> None:
    """sum of coefficients times kernel(x, support vectors), plus rho.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.
    ModelFormatError
        Its attributes contradict each other.

    Examples
    --------
    >>> write_svm_regressor(writer, node)   # doctest: +SKIP
    """
    vectors = attribute(node, "support_vectors")
    weights = attribute(node, "coefficients")
    rho = attribute(node, "rho")
    n_supports = int(node.attributes.get("n_supports", 0))
    is_plain = node.attributes.get("post_transform", "NONE") == "NONE"
    if not n_supports or node.attributes.get("one_class", 0) or not is_plain:
        raise Keep
    if vectors.size % n_supports or len(weights) != n_supports or len(rho) != 1:
        raise ModelFormatError(f"SVMRegressor {node.name!r}: sizes contradict")
    x = w.floats(node, node.inputs[0])
    kernel = _kernel(w, node, x, vectors.reshape(n_supports, -1))
    column = w.constant(node, weights.reshape(-1, 1))
    y = w.op(node, "MatMul", [kernel, column])
    w.op(node, "Add", [y, w.constant(node, rho)], node.outputs[0])


def _kernel(w: MlWriter, node: Node, x: str, vectors: Array) -> str:
    gamma, coef0, degree = [*attribute(node, "kernel_params"), 0, 0, 0][:3]
    kind = node.attributes.get("kernel_type", "LINEAR")

    def number(value: float) -> str:
        return w.constant(node, np.full(1, value, np.float32))

    if kind == "RBF":
        return w.op(
            node,
            "Exp",
            [w.op(node, "Mul", [_distances(w, node, x, vectors), number(-gamma)])],
        )
    product = w.op(node, "MatMul", [x, w.constant(node, vectors.T.copy())])
    if kind == "LINEAR":
        return product
    scaled = w.op(node, "Mul", [product, number(gamma)])
    shifted = w.op(node, "Add", [scaled, number(coef0)])
    if kind == "POLY":
        return w.op(node, "Pow", [shifted, number(degree)])
    if kind == "SIGMOID":
        return w.op(node, "Tanh", [shifted])
    raise Keep


def _distances(w: MlWriter, node: Node, x: str, vectors: Array) -> str:
    """Squared distances, by one product; around the mean, where it cancels least."""
    mean = vectors.mean(0, dtype=np.float64)
    centred = (vectors - mean).astype(np.float32)
    x = w.op(node, "Sub", [x, w.constant(node, mean.astype(np.float32))])
    square = w.op(node, "Mul", [x, x])
    ones = w.constant(node, np.ones((vectors.shape[1], 1), np.float32))
    norms = w.op(node, "MatMul", [square, ones])
    theirs = w.constant(node, (centred.astype("f8") ** 2).sum(1).astype("f4"))
    both = w.op(node, "Add", [norms, theirs])
    minus_twice = w.constant(node, np.ascontiguousarray(-2 * centred.T))
    product = w.op(node, "MatMul", [x, minus_twice])
    return w.op(node, "Add", [both, product])


# ---- trees -------------------------------------------------------------------------


def _tree_scores(w: MlWriter, node: Node, prefix: str, n_scores: int) -> str:
    """Sum of all trees and the base values."""
    trees = read_trees(node, prefix, n_scores) if n_scores else None
    if trees is None:
        raise Keep
    scores = trees.write(w, node)
    aggregate = node.attributes.get("aggregate_function", "SUM")
    if aggregate == "AVERAGE":
        n_trees = np.full(1, trees.paths.shape[0], np.float32)
        scores = w.op(node, "Div", [scores, w.constant(node, n_trees)])
    elif aggregate != "SUM":
        raise Keep
    base = attribute(node, "base_values")
    if not base.size:
        return scores
    if len(base) != n_scores:
        raise Keep
    return w.op(node, "Add", [scores, w.constant(node, base)])


def write_tree_regressor(w: MlWriter, node: Node) -> None:
    """Write a TreeRegressor node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_tree_regressor(writer, node)   # doctest: +SKIP
    """
    n_targets = int(node.attributes.get("n_targets", 1))
    scores = _tree_scores(w, node, "target", n_targets)
    _post_transform(w, node, scores, node.outputs[0], n_targets)


def write_tree_classifier(w: MlWriter, node: Node) -> None:
    """Write a TreeClassifier node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_tree_classifier(writer, node)   # doctest: +SKIP
    """
    labels = attribute(node, "classlabels_int64s", "int64")
    columns = {int(number) for number in node.attributes.get("class_ids", [])}
    if len(labels) == 2 and len(columns) == 1:
        _tree_of_two_classes(w, node, labels)
        return
    scores = _tree_scores(w, node, "class", len(labels))
    _label(w, node, scores, labels)
    if len(node.outputs) > 1 and node.outputs[1]:
        _post_transform(w, node, scores, node.outputs[1], len(labels))


def _tree_of_two_classes(w: MlWriter, node: Node, labels: Array) -> None:
    """One score for the second class; weights that may be negative are log odds."""
    weights = attribute(node, "class_weights")
    is_logistic = node.attributes.get("post_transform", "NONE") == "LOGISTIC"
    if not is_logistic or (weights >= 0).all():
        raise Keep
    single = Node(
        node.op_type,
        node.inputs,
        node.outputs,
        node.name,
        DOMAIN,
        {**node.attributes, "class_ids": [0] * len(weights)},
    )
    scores = _tree_scores(w, single, "class", 1)
    both = np.array([[-1.0, 1.0]], np.float32)
    pair = w.op(node, "MatMul", [scores, w.constant(node, both)])
    _label(w, node, pair, labels)
    if len(node.outputs) > 1 and node.outputs[1]:
        w.op(node, "Sigmoid", [pair], node.outputs[1])
