"""Metrics of recommendations: is what is relevant ranked first?

Each sample is a user: the relevance of k items, and their scores. Of items of equal
score the less relevant stands first, so that constant scores earn nothing (NDCG
averages over their orders, as scikit-learn does). Users without a relevant item count
as 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator, at_once
from trimtab.metrics.backend import call_sklearn
from trimtab.metrics.inputs import as_numbers
from trimtab.metrics.moments import MeanAccumulator
from trimtab.stats.special import Floats

__all__ = [
    "hit_rate",
    "mean_average_precision_at_k",
    "mean_reciprocal_rank",
    "ndcg_score",
    "ranking_accumulator",
]


def _pair(y_true: Any, y_pred: Any, k: int | None) -> tuple[Floats, Floats, int]:
    relevance = as_numbers(y_true, name="y_true")
    scores = as_numbers(y_pred, name="y_pred")
    if relevance.size == 0 and scores.size == 0:
        return np.zeros((0, 1)), np.zeros((0, 1)), 1
    if relevance.ndim != 2 or relevance.shape != scores.shape:
        raise InputError(
            "expected relevance and scores of shape (n, n_items), got "
            f"{relevance.shape} and {scores.shape}"
        )
    if (relevance < 0).any():
        raise InputError("y_true: expected relevance of at least 0, got a negative one")
    if k is not None and k < 1:
        raise InputError(f"k: expected at least 1, got {k}")
    n_items = relevance.shape[1]
    return relevance, scores, n_items if k is None else min(k, n_items)


def _ranked(y_true: Any, y_pred: Any, k: int | None) -> tuple[Floats, int]:
    """Relevance in the order of the scores; of equal ones the smallest first."""
    relevance, scores, top = _pair(y_true, y_pred, k)
    order = np.lexsort((relevance, -scores), axis=1)
    return np.take_along_axis(relevance, order, axis=1), top


def _hit(y_true: Any, y_pred: Any, *, k: int | None) -> Floats:
    ranked, top = _ranked(y_true, y_pred, k)
    return np.asarray((ranked[:, :top] > 0).any(axis=1), np.float64)


def _reciprocal(y_true: Any, y_pred: Any, *, k: int | None) -> Floats:
    ranked, top = _ranked(y_true, y_pred, k)
    is_relevant = ranked[:, :top] > 0
    ranks = is_relevant.argmax(axis=1) + 1
    return np.where(is_relevant.any(axis=1), 1 / ranks, 0.0)


def _precision(y_true: Any, y_pred: Any, *, k: int | None) -> Floats:
    ranked, top = _ranked(y_true, y_pred, k)
    is_relevant = ranked > 0
    best = np.minimum(is_relevant.sum(axis=1), top)
    found = is_relevant[:, :top]
    precision = np.cumsum(found, axis=1) / np.arange(1, top + 1)
    sums = (precision * found).sum(axis=1) / np.maximum(best, 1)
    return np.asarray(sums)


def _gain(y_true: Any, y_pred: Any, *, k: int | None, ignore_ties: bool) -> Floats:
    relevance, scores, top = _pair(y_true, y_pred, k)
    n, n_items = relevance.shape
    if n and n_items == 1:
        raise InputError("NDCG: expected two or more items, got one")
    discount = 1 / np.log2(np.arange(n_items) + 2.0)
    discount[top:] = 0.0
    ideal = -np.sort(-relevance, axis=1) @ discount
    if ignore_ties:
        order = np.argsort(scores)[:, ::-1]
        ranked = np.take_along_axis(relevance, order, axis=1)
    else:
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(relevance, order, axis=1)
        ordered = np.take_along_axis(scores, order, axis=1)
        is_new = np.ones((n, n_items), bool)
        is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        group = np.cumsum(is_new.ravel()) - 1
        if n:
            sizes = np.bincount(group)
            ranked = (np.bincount(group, ranked.ravel()) / sizes)[group]
            ranked = ranked.reshape(n, n_items)
    gained = ranked @ discount
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Floats = np.where(ideal > 0, gained / ideal, 0.0)
    return values


_LOSSES: dict[str, Any] = {
    "ndcg": partial(MeanAccumulator, _gain, lowest=0.0, highest=1.0),
    "hit_rate": partial(MeanAccumulator, _hit, is_proportion=True),
    "mean_reciprocal_rank": partial(
        MeanAccumulator, _reciprocal, lowest=0.0, highest=1.0
    ),
    "mean_average_precision_at_k": partial(
        MeanAccumulator, _precision, lowest=0.0, highest=1.0
    ),
}


def ranking_accumulator(
    name: str, *, k: int | None = None, ignore_ties: bool = False
) -> Accumulator:
    """Give the streaming form of a metric of rankings.

    Parameters
    ----------
    name : {"ndcg", "hit_rate", "mean_reciprocal_rank", "mean_average_precision_at_k"}
    k : int, optional
        Items that are looked at; all by default.
    ignore_ties : bool, default=False
        Of NDCG: scores are known to differ.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = ranking_accumulator("hit_rate", k=2)
    >>> running.update([[0, 0, 1], [1, 0, 0]], [[0.2, 0.1, 0.9], [0.1, 0.2, 0.3]])
    >>> running.compute()
    0.5
    """
    options: dict[str, Any] = {"k": k}
    if name == "ndcg":
        options["ignore_ties"] = ignore_ties
    made: Accumulator = _LOSSES[name](**options)
    return made


def ndcg_score(
    y_true: Any,
    y_pred: Any,
    *,
    k: int | None = None,
    sample_weight: Any = None,
    ignore_ties: bool = False,
) -> Any:
    """Normalised discounted cumulative gain.

    Parameters
    ----------
    y_true : array-like of shape (n, n_items)
        Relevance, at least 0.
    y_pred : array-like of shape (n, n_items)
    k : int, optional
        Items that are looked at; all by default.
    sample_weight : array-like of shape (n,), optional
    ignore_ties : bool, default=False
        Scores are known to differ.

    Returns
    -------
    gain : float

    Examples
    --------
    >>> round(ndcg_score([[3, 0, 1]], [[0.5, 0.9, 0.1]]), 4)
    0.659
    """
    return call_sklearn(
        "ndcg_score",
        y_true,
        y_pred,
        k=k,
        sample_weight=sample_weight,
        ignore_ties=ignore_ties,
    )


def hit_rate(
    y_true: Any, y_pred: Any, *, k: int | None = 10, sample_weight: Any = None
) -> float:
    """Share of users with a relevant item among the k first.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n, n_items)
    k : int or None, default=10
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    share : float

    Examples
    --------
    >>> hit_rate([[0, 0, 1], [1, 0, 0]], [[0.2, 0.1, 0.9], [0.1, 0.2, 0.3]], k=2)
    0.5
    """
    running = ranking_accumulator("hit_rate", k=k)
    return float(at_once(running, y_true, y_pred, sample_weight))


def mean_reciprocal_rank(
    y_true: Any, y_pred: Any, *, k: int | None = None, sample_weight: Any = None
) -> float:
    """Mean of 1 / rank of the first relevant item.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n, n_items)
    k : int, optional
        Beyond it an item counts as 0.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    mean : float

    Examples
    --------
    >>> mean_reciprocal_rank([[0, 0, 1], [1, 0, 0]], [[2, 1, 9], [2, 1, 3]])
    0.75
    """
    running = ranking_accumulator("mean_reciprocal_rank", k=k)
    return float(at_once(running, y_true, y_pred, sample_weight))


def mean_average_precision_at_k(
    y_true: Any, y_pred: Any, *, k: int | None = 10, sample_weight: Any = None
) -> float:
    """Mean over users of the average precision of the k first items.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n, n_items)
    k : int or None, default=10
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    mean : float

    References
    ----------
    Manning, Raghavan, Schuetze (2008). Introduction to information retrieval, section
    8.4. Cambridge.

    Examples
    --------
    >>> round(mean_average_precision_at_k([[1, 0, 1]], [[0.9, 0.5, 0.1]]), 4)
    0.8333
    """
    running = ranking_accumulator("mean_average_precision_at_k", k=k)
    return float(at_once(running, y_true, y_pred, sample_weight))
