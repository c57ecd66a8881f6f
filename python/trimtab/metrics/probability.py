"""Metrics of scores and probabilities: functions, scikit-learn's where it has them.

Two columns of scores are those of the negative and of the positive class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.metrics.accumulate import at_once
from trimtab.metrics.backend import call_sklearn
from trimtab.metrics.calibration import CalibrationAccumulator
from trimtab.metrics.inputs import as_scores
from trimtab.metrics.probability_streaming import (
    perplexity_accumulator,
    top_k_accuracy_accumulator,
)

__all__ = [
    "average_precision_score",
    "brier_score_loss",
    "expected_calibration_error",
    "log_loss",
    "perplexity",
    "roc_auc_score",
    "top_k_accuracy_score",
]


def log_loss(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, labels: Any = None
) -> Any:
    """Mean cross-entropy of probabilities, in nats.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_pred : array-like of shape (n,) or (n, k)
        Probabilities of the positive class, or of all, ascending.
    sample_weight : array-like of shape (n,), optional
    labels : sequence, optional
        All classes, ascending, where `y_true` may lack some.

    Returns
    -------
    value : float

    Examples
    --------
    >>> round(log_loss([0, 1], [0.5, 0.5]), 6)
    0.693147
    """
    return call_sklearn(
        "log_loss", y_true, y_pred, sample_weight=sample_weight, labels=labels
    )


def brier_score_loss(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    labels: Any = None,
    scale_by_half: Any = "auto",
) -> Any:
    """Mean squared error of probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_pred : array-like of shape (n,) or (n, k)
        Probabilities of the positive class, or of all, ascending.
    sample_weight : array-like of shape (n,), optional
    labels : sequence, optional
        All classes, ascending, where `y_true` may lack some.
    scale_by_half : bool or "auto", default="auto"
        Halve it, so that it is at most 1; "auto": of two classes only.

    Returns
    -------
    value : float

    Examples
    --------
    >>> brier_score_loss([0, 1], [0.5, 1.0])
    0.125
    """
    return call_sklearn(
        "brier_score_loss",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        labels=labels,
        scale_by_half=scale_by_half,
    )


def roc_auc_score(
    y_true: Any,
    y_pred: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    max_fpr: float | None = None,
    multi_class: str = "raise",
    labels: Any = None,
) -> Any:
    """Area under the ROC curve.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, k)
    y_pred : array-like of shape (n,) or (n, k)
    average : {"macro", "micro", "weighted", None}, default="macro"
        Over classes, where there are more than two.
    sample_weight : array-like of shape (n,), optional
    max_fpr : float, optional
        The standardised area up to this false positive rate.
    multi_class : {"raise", "ovr", "ovo"}, default="raise"
        Each class against the others, or against each other one.
    labels : sequence, optional
        All classes, ascending, where `y_true` may lack some.

    Returns
    -------
    area : float or ndarray

    Examples
    --------
    >>> roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return call_sklearn(
        "roc_auc_score",
        y_true,
        _two_classes(y_true, y_pred),
        average=average,
        sample_weight=sample_weight,
        max_fpr=max_fpr,
        multi_class=multi_class,
        labels=labels,
    )


def _two_classes(y_true: Any, y_pred: Any) -> Any:
    """Scores as scikit-learn takes them: those of two classes are one column."""
    return as_scores(y_pred) if np.ndim(y_true) == 1 else y_pred


def average_precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    average: str | None = "macro",
    pos_label: Any = 1,
    sample_weight: Any = None,
) -> Any:
    """Average precision: the area below the steps of the precision-recall curve.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, k)
    y_pred : array-like of shape (n,) or (n, k)
    average : {"macro", "micro", "weighted", None}, default="macro"
        Over classes, where there are more than two.
    pos_label : int or str, default=1
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    area : float or ndarray

    Examples
    --------
    >>> round(average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return call_sklearn(
        "average_precision_score",
        y_true,
        _two_classes(y_true, y_pred),
        average=average,
        pos_label=pos_label,
        sample_weight=sample_weight,
    )


def top_k_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    k: int = 2,
    sample_weight: Any = None,
    labels: Any = None,
) -> float:
    """Share of samples whose class is among the k that score highest.

    Of equal scores the later class stands first, as in scikit-learn.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_pred : array-like of shape (n, n_classes)
    k : int, default=2
    sample_weight : array-like of shape (n,), optional
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.

    Returns
    -------
    share : float

    Examples
    --------
    >>> top_k_accuracy_score([0, 2], [[0.3, 0.5, 0.2], [0.5, 0.4, 0.1]])
    0.5
    """
    running = top_k_accuracy_accumulator(k=k, labels=labels)
    return float(at_once(running, y_true, y_pred, sample_weight))


def expected_calibration_error(
    y_true: Any,
    y_pred: Any,
    *,
    n_bins: int = 15,
    strategy: str = "uniform",
    sample_weight: Any = None,
    labels: Any = None,
) -> float:
    """Mean gap between confidence and accuracy over bins of confidence.

    Of two classes the confidence is the probability of the positive one, and accuracy
    its share; of more it is the probability of the class that is predicted.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_pred : array-like of shape (n,) or (n, k)
        Probabilities.
    n_bins : int, default=15
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or of equal mass.
    sample_weight : array-like of shape (n,), optional
    labels : sequence, optional
        Classes of the columns; 0, 1, ... by default.

    Returns
    -------
    error : float

    References
    ----------
    Naeini, Cooper, Hauskrecht (2015). Obtaining well calibrated probabilities using
    Bayesian binning. AAAI 29, 2901-2907.

    Guo, Pleiss, Sun, Weinberger (2017). On calibration of modern neural networks.
    ICML, PMLR 70, 1321-1330.

    Examples
    --------
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.5, 0.5, 0.9, 0.9]), 3)
    0.05
    """
    running = CalibrationAccumulator(n_bins=n_bins, strategy=strategy, labels=labels)
    return float(at_once(running, y_true, y_pred, sample_weight))


def perplexity(
    y_true: Any,
    y_pred: Any,
    *,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Any = None,
) -> float:
    """Exponential of the mean cross-entropy of tokens.

    Parameters
    ----------
    y_true : array-like of int of shape (n,) or (n, t)
        Tokens, of n sequences of t.
    y_pred : array-like of shape (n, v) or (n, t, v)
        Probabilities of the v tokens.
    from_logits : bool, default=False
        `y_pred` are logarithms up to a constant.
    ignore_index : int, optional
        Of `y_true`: padding, which does not count.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    perplexity : float

    Examples
    --------
    >>> round(perplexity([0, 1], [[0.5, 0.5], [0.75, 0.25]]), 4)
    2.8284
    """
    running = perplexity_accumulator(from_logits=from_logits, ignore_index=ignore_index)
    return float(at_once(running, y_true, y_pred, sample_weight))
