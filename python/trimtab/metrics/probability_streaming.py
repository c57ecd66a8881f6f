"""Metrics of probabilities that are means over samples, streamed.

Classes are 0, 1, ..., or those of `labels` in the order of the columns: what a batch
holds does not tell them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.inputs import as_labels, as_numbers, check_length, class_places
from trimtab.metrics.moments import MeanAccumulator, RatioAccumulator
from trimtab.metrics.scores import ScoresAccumulator
from trimtab.stats.special import Floats

__all__ = [
    "average_precision_accumulator",
    "brier_accumulator",
    "log_loss_accumulator",
    "perplexity_accumulator",
    "probabilities_of",
    "roc_auc_accumulator",
    "top_k_accuracy_accumulator",
]


def _places(y_true: Any, scores: Floats, labels: Any) -> Any:
    truth = as_labels(y_true, name="y_true")
    check_length(truth, scores)
    return class_places(truth, labels, scores.shape[1])


def probabilities_of(y_pred: Any) -> Floats:
    """Give probabilities as a matrix with a column for each class.

    Parameters
    ----------
    y_pred : array-like of shape (n,) or (n, k)

    Returns
    -------
    probabilities : ndarray of shape (n, k)
        Of float64; k is 2 for a single column.

    Raises
    ------
    InputError
        They are no probabilities.

    Examples
    --------
    >>> probabilities_of([0.25]).tolist()
    [[0.75, 0.25]]
    """
    given = as_numbers(y_pred, name="y_pred")
    if given.ndim not in (1, 2) or (given.ndim == 2 and not given.shape[1]):
        raise InputError(
            f"y_pred: expected probabilities of shape (n,) or (n, k), got {given.shape}"
        )
    is_outside = (given < 0) | (given > 1)
    if is_outside.any():
        raise InputError(
            f"y_pred: expected probabilities from 0 to 1, got {given[is_outside][0]}; "
            "put logits through softmax first"
        )
    if given.ndim == 1 or given.shape[1] == 1:
        positive = given.reshape(-1)
        return np.stack([1 - positive, positive], axis=1)
    return given


def _cross_entropy(y_true: Any, y_pred: Any, *, labels: Any) -> Floats:
    dtype = np.asarray(y_pred).dtype
    probabilities = probabilities_of(y_pred)
    places = _places(y_true, probabilities, labels)
    smallest = np.finfo(dtype if dtype.kind == "f" else np.float64).eps
    chosen = probabilities[np.arange(len(places)), places]
    losses: Floats = -np.log(np.clip(chosen, smallest, 1 - smallest))
    return losses


def log_loss_accumulator(*, labels: Any = None) -> Accumulator:
    """Give the streaming form of `log_loss`.

    Parameters
    ----------
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = log_loss_accumulator()
    >>> running.update([0, 1], [0.5, 0.5])
    >>> round(running.compute(), 6)
    0.693147
    """
    return MeanAccumulator(_cross_entropy, lowest=0.0, labels=labels)


def _squared_gap(
    y_true: Any, y_pred: Any, *, labels: Any, scale_by_half: Any
) -> Floats:
    probabilities = probabilities_of(y_pred)
    places = _places(y_true, probabilities, labels)
    k = probabilities.shape[1]
    losses: Floats = ((probabilities - np.eye(k)[places]) ** 2).sum(axis=1)
    is_halved = k < 3 if scale_by_half == "auto" else bool(scale_by_half)
    return losses / 2 if is_halved else losses


def brier_accumulator(
    *, labels: Any = None, scale_by_half: Any = "auto"
) -> Accumulator:
    """Give the streaming form of `brier_score_loss`.

    Parameters
    ----------
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.
    scale_by_half : bool or "auto", default="auto"

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = brier_accumulator()
    >>> running.update([0, 1], [0.5, 1.0])
    >>> running.compute()
    0.125
    """
    return MeanAccumulator(
        _squared_gap, lowest=0.0, labels=labels, scale_by_half=scale_by_half
    )


def _is_among_top(y_true: Any, y_pred: Any, *, k: int, labels: Any) -> Floats:
    scores = as_numbers(y_pred, name="y_pred")
    if scores.ndim != 2:
        raise InputError(
            f"y_pred: expected scores of shape (n, n_classes), got {scores.shape}"
        )
    places = _places(y_true, scores, labels)
    own = scores[np.arange(len(places)), places][:, None]
    later = np.arange(scores.shape[1]) > places[:, None]
    ahead = (scores > own) | ((scores == own) & later)
    hits: Floats = (ahead.sum(axis=1) < k).astype(np.float64)
    return hits


def top_k_accuracy_accumulator(*, k: int = 2, labels: Any = None) -> Accumulator:
    """Give the streaming form of `top_k_accuracy_score`.

    Parameters
    ----------
    k : int, default=2
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.

    Returns
    -------
    accumulator : Accumulator

    Raises
    ------
    InputError
        k is below 1.

    Examples
    --------
    >>> running = top_k_accuracy_accumulator()
    >>> running.update([0, 2], [[0.3, 0.5, 0.2], [0.5, 0.4, 0.1]])
    >>> running.compute()
    0.5
    """
    if k < 1:
        raise InputError(f"k: expected at least 1, got {k}")
    return MeanAccumulator(_is_among_top, is_proportion=True, k=k, labels=labels)


def _surprise(
    y_true: Any, y_pred: Any, *, from_logits: bool, ignore_index: int | None
) -> tuple[Floats, Floats]:
    """Cross-entropy of each sequence, and its tokens."""
    tokens = np.asarray(y_true)
    given = as_numbers(y_pred, name="y_pred")
    if not len(tokens) and not len(given):
        return np.zeros(0), np.zeros(0)
    if given.shape[:-1] != tokens.shape or tokens.ndim not in (1, 2):
        raise InputError(
            "expected tokens of shape (n,) or (n, t) and their probabilities with one "
            f"axis more, got y_true {tokens.shape} and y_pred {given.shape}"
        )
    if tokens.size and tokens.dtype.kind not in "iu":
        raise InputError(f"y_true: expected tokens as integers, got {tokens.dtype}")
    tokens = tokens.reshape(len(tokens), -1).astype(np.intp)
    given = given.reshape(*tokens.shape, -1)
    is_counted = np.ones(tokens.shape, bool)
    if ignore_index is not None:
        is_counted = tokens != ignore_index
    inside = np.where(is_counted, tokens, 0)
    if tokens.size and (inside.min() < 0 or inside.max() >= given.shape[-1]):
        raise InputError(
            f"y_true: expected tokens from 0 to {given.shape[-1] - 1}, "
            f"got {inside.min()} to {inside.max()}"
        )
    if not from_logits and given.size and (given.min() < 0 or given.max() > 1):
        raise InputError(
            "y_pred: expected probabilities from 0 to 1; for logits say "
            "from_logits=True"
        )
    chosen = np.take_along_axis(given, inside[..., None], axis=-1)[..., 0]
    if from_logits:
        largest = given.max(axis=-1, initial=-np.inf)
        sums = np.exp(given - largest[..., None]).sum(axis=-1)
        losses = np.log(sums) + largest - chosen
    else:
        losses = -np.log(np.maximum(chosen, np.finfo(np.float64).tiny))
    return (losses * is_counted).sum(axis=1), is_counted.sum(axis=1).astype(np.float64)


def perplexity_accumulator(
    *, from_logits: bool = False, ignore_index: int | None = None
) -> Accumulator:
    """Give the streaming form of `perplexity`; sequences are its samples.

    Parameters
    ----------
    from_logits : bool, default=False
    ignore_index : int, optional

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = perplexity_accumulator()
    >>> running.update([0, 1], [[0.5, 0.5], [0.75, 0.25]])
    >>> round(running.compute(), 4)
    2.8284
    """
    return RatioAccumulator(
        _surprise,
        transform="exp",
        zero_means_all_right=False,
        from_logits=from_logits,
        ignore_index=ignore_index,
    )


def roc_auc_accumulator(
    *,
    average: str | None = "macro",
    multi_class: str = "raise",
    labels: Any = None,
    pos_label: Any = None,
    capacity: int | None = None,
) -> Accumulator:
    """Give the streaming form of `roc_auc_score`; it keeps scores, or `capacity`.

    Parameters
    ----------
    average : {"macro", "micro", "weighted", None}, default="macro"
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
    labels : sequence, optional
    pos_label : int or str, optional
    capacity : int, optional

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = roc_auc_accumulator()
    >>> running.update([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> running.compute()
    0.75
    """
    return ScoresAccumulator(
        "roc_auc",
        average=average,
        multi_class=multi_class,
        labels=labels,
        pos_label=pos_label,
        capacity=capacity,
    )


def average_precision_accumulator(
    *,
    average: str | None = "macro",
    labels: Any = None,
    pos_label: Any = 1,
    capacity: int | None = None,
) -> Accumulator:
    """Give the streaming form of `average_precision_score`.

    Parameters
    ----------
    average : {"macro", "micro", "weighted", None}, default="macro"
    labels : sequence, optional
    pos_label : int or str, default=1
    capacity : int, optional

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = average_precision_accumulator()
    >>> running.update([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> round(running.compute(), 4)
    0.8333
    """
    return ScoresAccumulator(
        "average_precision",
        average=average,
        labels=labels,
        pos_label=pos_label,
        capacity=capacity,
    )
