"""What the learners of a last layer share: rows as it sees them, folds, the old layer.

Enters: a `LearnContext`. Leaves: features and targets of new and old rows, weights to
begin with, and how right other weights would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Model
from trimtab.types import Array
from trimtab.update.calibrate import log_loss
from trimtab.update.context import LearnContext
from trimtab.update.head import with_head
from trimtab.update.statistics import HeadStatistics, body_digest
from trimtab.update.targets import is_classes, is_sigmoid, targets_of

__all__ = ["ClosedHead", "folds_of"]

# Statistics of more features are too large to be kept: 0.5 GB.
_MOST_FEATURES = 8192


@dataclass(frozen=True, eq=False)
class ClosedHead:
    """New and old rows as a layer of classes sees them, and the layer that serves.

    Parameters
    ----------
    context : LearnContext
    link : str
        "softmax" or "sigmoid".
    weight : ndarray of shape (n_features, n_outputs)
    bias : ndarray of shape (n_outputs,)
        Classes that are new begin in the middle of the others.
    features, targets : ndarray
        Of all new rows: those to fit and those to choose with.
    old_features, old_targets : ndarray
        Of replayed rows; there may be none.
    statistics : HeadStatistics or None
        Of rows that are gone.
    body : str
        Digest of what computes the features.
    """

    context: LearnContext
    link: str
    weight: Array
    bias: Array
    features: Array
    targets: Array
    old_features: Array
    old_targets: Array
    statistics: HeadStatistics | None
    body: str

    @classmethod
    def of(cls, context: LearnContext) -> ClosedHead:
        """Take the features of all rows.

        Parameters
        ----------
        context : LearnContext

        Returns
        -------
        head : ClosedHead

        Raises
        ------
        UnsupportedOpError
            The model does not end in a dense layer with weights in float.
        InputError
            It does not tell classes apart, or statistics are of other features.
        """
        head, task = context.head, context.task
        if not is_classes(task):
            raise InputError(
                f"the task is {task.kind}: this method learns classes only; "
                '"head_ridge" learns numbers'
            )
        if head.activation == "none" and task.output == "probabilities":
            raise InputError(
                "the outputs are probabilities, but no softmax or sigmoid of a dense "
                "layer gives them: this method would not know its logits"
            )
        weight, bias = _widened(head.weight, head.bias, context.n_new_classes)
        k = weight.shape[1]
        body = body_digest(context.graph, head)
        new, old = [context.fit, context.select], context.replay
        f = [context.features(rows) for rows in new if len(rows)]
        t = [targets_of(task, rows.labels, k) for rows in new if len(rows)]
        return cls(
            context,
            "sigmoid" if is_sigmoid(task, head.activation) else "softmax",
            weight,
            bias,
            np.concatenate(f).astype(np.float64),
            np.concatenate(t),
            np.zeros((0, len(weight))) if old is None else context.features(old),
            np.zeros((0, k)) if old is None else targets_of(task, old.labels, k),
            None if old is not None else _statistics(context, k, body),
            body,
        )

    def graph(self, weight: Array, bias: Array) -> Model:
        """Give the graph with another last layer.

        Parameters
        ----------
        weight : ndarray of shape (n_features, n_outputs)
        bias : ndarray of shape (n_outputs,)

        Returns
        -------
        graph : trimtab.graph.Model
        """
        return with_head(self.context.graph, self.context.head, weight, bias)

    def right(self, logits: Array, targets: Array) -> float:
        """Give the share of rows that logits answer right; 1 of none.

        Parameters
        ----------
        logits : ndarray
        targets : ndarray

        Returns
        -------
        share : float
        """
        if not len(targets):
            return 1.0
        if self.link == "sigmoid":
            return float(((logits > 0) == (targets > 0.5)).all(axis=1).mean())
        return float((logits.argmax(axis=1) == targets.argmax(axis=1)).mean())

    def loss(self, logits: Array, targets: Array) -> float:
        """Give the mean loss of logits.

        Parameters
        ----------
        logits : ndarray
        targets : ndarray

        Returns
        -------
        loss : float
        """
        return log_loss(logits, targets, is_sigmoid=self.link == "sigmoid")

    def sums(
        self, new: Array, old: Array
    ) -> tuple[HeadStatistics, HeadStatistics | None]:
        """Sum over new rows, and over old ones: replayed or gone.

        Parameters
        ----------
        new, old : ndarray of bool
            Which of them.

        Returns
        -------
        sums : tuple of HeadStatistics
        """
        aims, old_aims = 2 * self.targets[new] - 1, 2 * self.old_targets[old] - 1
        made = HeadStatistics.of(self.features[new], aims, body=self.body)
        if not len(self.old_targets):
            return made, self.statistics
        features = self.old_features[old]
        return made, HeadStatistics.of(features, old_aims, body=self.body)

    def kept(self) -> HeadStatistics | None:
        """Give the statistics of all rows, where they are not too large to be kept.

        Returns
        -------
        statistics : HeadStatistics or None
        """
        if len(self.weight) > _MOST_FEATURES:
            return None
        new, old = self.sums(
            np.ones(self.n_new, bool), np.ones(len(self.old_targets), bool)
        )
        return new if old is None else new.merged(old)

    @property
    def n_new(self) -> int:
        """New rows."""
        return len(self.features)

    @property
    def known(self) -> float:
        """Share of old rows that the serving layer answers right."""
        logits = self.old_features @ self.weight + self.bias
        return self.right(logits, self.old_targets)


def _widened(weight: Array, bias: Array, n_new: int) -> tuple[Array, Array]:
    if not n_new:
        return weight, bias
    middle = np.repeat(weight.mean(axis=1, keepdims=True), n_new, axis=1)
    return (
        np.concatenate([weight, middle], axis=1),
        np.concatenate([bias, np.repeat(bias.mean(), n_new)]),
    )


def _statistics(
    context: LearnContext, n_outputs: int, body: str
) -> HeadStatistics | None:
    found = context.statistics
    if found is None:
        return None
    if found.body != body:
        raise InputError(
            "statistics: they are of features that other weights compute; take them "
            "anew from rows"
        )
    return found.widened(n_outputs)


def folds_of(targets: Array, n_folds: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Cut rows into folds in which each class comes as evenly as it can.

    Parameters
    ----------
    targets : ndarray of shape (n, k)
    n_folds : int
        At most; rows bound them.
    seed : int

    Returns
    -------
    folds : iterator of tuple of ndarray of bool
        Rows to fit and rows to judge.

    Examples
    --------
    >>> folds = folds_of(np.eye(2)[[0, 0, 1, 1]], 2, seed=0)
    >>> [judged.sum() for _, judged in folds]
    [np.int64(2), np.int64(2)]
    """
    n = len(targets)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    order = order[np.argsort(targets[order].argmax(axis=1), kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % max(min(n_folds, n), 1)
    for i in range(int(fold.max(initial=-1)) + 1):
        yield fold != i, fold == i
