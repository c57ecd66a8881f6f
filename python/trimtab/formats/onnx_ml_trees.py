"""Tree ensembles of ai.onnx.ml -> products of matrices.

All trees at once: compare the feature of every inner node with its threshold; count,
for every leaf, the comparisons that come out as its path needs them (a product with a
matrix of 1, -1 and 0); the leaf whose count is full is the one reached; a product with
the leaves' weights gives the scores. The counts are small integers, so the leaf is
exact (Nakandala et al., "A Tensor Compiler for Unified Machine Learning Prediction
Serving", OSDI 2020). Ensembles whose matrices would be large stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.onnx_ml_write import MlWriter
from trimtab.graph import Node
from trimtab.types import Array

__all__ = ["Trees", "read_trees"]

_MAX_ELEMENTS = 1 << 23  # of the path matrices of all trees: 32 MiB
_LEAF = "LEAF"
# Mode of an inner node -> operator that gives its comparison.
_COMPARISONS = {
    "BRANCH_LEQ": "LessOrEqual",
    "BRANCH_LT": "Less",
    "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_GT": "Greater",
}
_NEVER = 1 << 20  # a count that no path has


@dataclass(frozen=True)
class Trees:
    """An ensemble as arrays; trees and their nodes are padded to the largest.

    Parameters
    ----------
    comparison : str
        Operator of all inner nodes.
    features : ndarray of int64 of shape (n_trees, n_inner)
    thresholds : ndarray of float32 of shape (n_trees, n_inner)
    takes_missing : ndarray of bool of shape (n_trees, n_inner)
        Whether NaN counts as true.
    paths : ndarray of float32 of shape (n_trees, n_inner, n_leaves)
    counts : ndarray of float32 of shape (n_trees, 1, n_leaves)
    weights : ndarray of float32 of shape (n_trees, n_leaves, n_scores)
    """

    comparison: str
    features: Array
    thresholds: Array
    takes_missing: Array
    paths: Array
    counts: Array
    weights: Array

    def write(self, w: MlWriter, node: Node) -> str:
        """Write the operators that give the sum of all trees' scores.

        Parameters
        ----------
        w : MlWriter
        node : Node
            The ensemble; its first input is read.

        Returns
        -------
        scores : str
            float32[n, n_scores]
        """
        n_trees, n_inner, _ = self.paths.shape
        x = w.floats(node, node.inputs[0])
        features = w.constant(node, self.features.reshape(-1))
        values = w.op(node, "Gather", [x, features], axis=1)
        thresholds = w.constant(node, self.thresholds.reshape(-1))
        passed = w.op(node, self.comparison, [values, thresholds])
        if self.takes_missing.any():
            flags = w.constant(node, self.takes_missing.reshape(-1))
            is_missing = w.op(node, "IsNaN", [values])
            passed = w.op(node, "Or", [passed, w.op(node, "And", [is_missing, flags])])
        passed = w.floats(node, passed)
        shape = w.constant(node, np.array([-1, n_trees, n_inner], np.int64))
        by_tree = w.op(node, "Reshape", [passed, shape])
        by_tree = w.op(node, "Transpose", [by_tree], perm=[1, 0, 2])
        found = w.op(node, "MatMul", [by_tree, w.constant(node, self.paths)])
        reached = w.op(node, "Equal", [found, w.constant(node, self.counts)])
        reached = w.floats(node, reached)
        scores = w.op(node, "MatMul", [reached, w.constant(node, self.weights)])
        # Summed over the trees by a product: its axes never changed between opsets.
        flat = w.constant(node, np.array([n_trees, -1], np.int64))
        rows = w.op(node, "Reshape", [scores, flat])
        ones = w.constant(node, np.ones((1, n_trees), np.float32))
        total = w.op(node, "MatMul", [ones, rows])
        shape = w.constant(node, np.array([-1, self.weights.shape[2]], np.int64))
        return w.op(node, "Reshape", [total, shape])


class _Columns:
    """The attributes nodes_* as arrays of one length."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.trees = self._ints("nodes_treeids")
        self.ids = self._ints("nodes_nodeids")
        self.features = self._ints("nodes_featureids")
        self.true = self._ints("nodes_truenodeids")
        self.false = self._ints("nodes_falsenodeids")
        self.thresholds = np.asarray(node.attributes.get("nodes_values", []), "float32")
        self.modes = list(node.attributes.get("nodes_modes", []))
        missing = node.attributes.get("nodes_missing_value_tracks_true", [])
        self.missing = np.asarray(missing if len(missing) else 0 * self.ids, bool)
        n = len(self.ids)
        for column in (*vars(self).values(),):
            if hasattr(column, "__len__") and len(column) != n:
                raise _malformed(node, f"attributes of {n} and {len(column)} nodes")
        if n and (self.features < 0).any():
            raise _malformed(node, "a feature with a negative number")

    def _ints(self, name: str) -> Array:
        return np.asarray(self._node.attributes.get(name, []), np.int64).reshape(-1)


def _malformed(node: Node, what: str) -> ModelFormatError:
    return ModelFormatError(f"{node.op_type} {node.name!r}: {what}")


def read_trees(node: Node, prefix: str, n_scores: int) -> Trees | None:
    """Read an ensemble.

    Parameters
    ----------
    node : Node
        TreeEnsembleClassifier or TreeEnsembleRegressor.
    prefix : {"class", "target"}
        Of the attributes that hold the leaves' weights.
    n_scores : int
        Columns of the scores.

    Returns
    -------
    trees : Trees or None
        None where it is too large, or compares in ways that differ between nodes.

    Raises
    ------
    ModelFormatError
        Nodes that are missing, defined twice, or form a cycle.

    Examples
    --------
    >>> read_trees(node, "target", 1)                      # doctest: +SKIP
    Trees(comparison='LessOrEqual', ...)
    """
    columns = _Columns(node)
    modes = {mode for mode in columns.modes if mode != _LEAF}
    if len(modes) > 1 or not modes <= _COMPARISONS.keys() or not len(columns.ids):
        return None
    index = {
        key: i
        for i, key in enumerate(
            zip(columns.trees.tolist(), columns.ids.tolist(), strict=True)
        )
    }
    if len(index) != len(columns.ids):
        raise _malformed(node, "a node is defined twice")
    numbers = sorted(set(columns.trees.tolist()))
    walks = [_walk(node, columns, index, number) for number in numbers]
    n_inner = max(1, *(len(walk.inner) for walk in walks), 1)
    n_leaves = max(len(walk.leaves) for walk in walks)
    n_elements = len(walks) * n_leaves * (n_inner + n_scores)
    if n_elements > _MAX_ELEMENTS:
        return None
    shape = (len(walks), n_inner)
    trees = Trees(
        _COMPARISONS[next(iter(modes), "BRANCH_LEQ")],
        np.zeros(shape, np.int64),
        np.zeros(shape, np.float32),
        np.zeros(shape, bool),
        np.zeros((*shape, n_leaves), np.float32),
        np.full((len(walks), 1, n_leaves), _NEVER, np.float32),
        np.zeros((len(walks), n_leaves, n_scores), np.float32),
    )
    place: dict[int, tuple[int, int]] = {}
    for t, walk in enumerate(walks):
        n = len(walk.inner)
        trees.features[t, :n] = columns.features[walk.inner]
        trees.thresholds[t, :n] = columns.thresholds[walk.inner]
        trees.takes_missing[t, :n] = columns.missing[walk.inner]
        for leaf, (row, path) in enumerate(walk.leaves):
            place[row] = (t, leaf)
            for position, is_true in path:
                trees.paths[t, position, leaf] = 1 if is_true else -1
            trees.counts[t, 0, leaf] = sum(is_true for _, is_true in path)
    _add_weights(node, prefix, index, place, trees.weights)
    return trees


@dataclass(frozen=True)
class _Walk:
    """One tree: rows of its inner nodes; rows of its leaves and the way to each."""

    inner: list[int]
    leaves: list[tuple[int, tuple[tuple[int, bool], ...]]]


def _walk(
    node: Node, columns: _Columns, index: dict[tuple[int, int], int], tree: int
) -> _Walk:
    """From the root, which is the tree's first node, to the leaves."""
    root = int(np.flatnonzero(columns.trees == tree)[0])
    walk = _Walk([], [])
    waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(root, ())]
    seen: set[int] = set()
    n_steps = 0
    for row, path in waiting:  # grows while it is walked
        if row in seen:
            raise _malformed(node, f"node {columns.ids[row]} of tree {tree} twice")
        seen.add(row)
        n_steps += len(path)
        if n_steps > _MAX_ELEMENTS:
            return _Walk([0] * _MAX_ELEMENTS, [(row, ())])  # too large for a matrix
        if columns.modes[row] == _LEAF:
            walk.leaves.append((row, path))
            continue
        position = len(walk.inner)
        walk.inner.append(row)
        for child, is_true in ((columns.true[row], True), (columns.false[row], False)):
            found = index.get((tree, int(child)))
            if found is None:
                raise _malformed(node, f"there is no node {child} in tree {tree}")
            waiting.append((found, (*path, (position, is_true))))
    return walk


def _add_weights(
    node: Node,
    prefix: str,
    index: dict[tuple[int, int], int],
    place: dict[int, tuple[int, int]],
    weights: Array,
) -> None:
    """Fill in the scores of the leaves."""
    names = (f"{prefix}_treeids", f"{prefix}_nodeids", f"{prefix}_ids")
    rows = [list(map(int, node.attributes.get(name, []))) for name in names]
    values = list(node.attributes.get(f"{prefix}_weights", []))
    if len({len(values), *map(len, rows)}) != 1:
        raise _malformed(node, f"attributes {prefix}_* of different lengths")
    for tree, number, column, value in zip(*rows, values, strict=True):
        at = place.get(index.get((tree, number), -1))
        if at is None or not 0 <= column < weights.shape[2]:
            raise _malformed(
                node, f"a weight for node {number} of tree {tree}, column {column}"
            )
        weights[at[0], at[1], column] += value
