"""Metrics of predicted classes: the functions are scikit-learn's.

``average`` is "binary" (of `pos_label`), "micro", "macro", "weighted" or None (by
class), as in scikit-learn.
"""

from __future__ import annotations

from typing import Any

from trimtab.metrics.backend import call_sklearn

__all__ = [
    "accuracy_score",
    "balanced_accuracy_score",
    "cohen_kappa_score",
    "confusion_matrix",
    "f1_score",
    "jaccard_score",
    "matthews_corrcoef",
    "precision_score",
    "recall_score",
]


def accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
) -> Any:
    """Share of samples that are right.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    value : float

    Examples
    --------
    >>> accuracy_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.75
    """
    return call_sklearn(
        "accuracy_score",
        y_true,
        y_pred,
        sample_weight=sample_weight,
    )


def balanced_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    adjusted: bool = False,
) -> Any:
    """Mean recall of the classes that occur.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    sample_weight : array-like of shape (n,), optional
    adjusted : bool, default=False
        Chance is 0.

    Returns
    -------
    value : float

    Examples
    --------
    >>> balanced_accuracy_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.8333333333333333
    """
    return call_sklearn(
        "balanced_accuracy_score",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        adjusted=adjusted,
    )


def precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = 0.0,
) -> Any:
    """Share of what was predicted as a class that is of it.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    sample_weight : array-like of shape (n,), optional
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> precision_score([0, 1, 1, 1], [0, 1, 1, 0])
    1.0
    """
    return call_sklearn(
        "precision_score",
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
    )


def recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = 0.0,
) -> Any:
    """Share of a class that was predicted as it.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    sample_weight : array-like of shape (n,), optional
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> recall_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.6666666666666666
    """
    return call_sklearn(
        "recall_score",
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
    )


def f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = 0.0,
) -> Any:
    """Harmonic mean of precision and recall.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    sample_weight : array-like of shape (n,), optional
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> f1_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.8
    """
    return call_sklearn(
        "f1_score",
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
    )


def jaccard_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
    zero_division: Any = 0.0,
) -> Any:
    """Intersection over union (IoU) of what is true and what is predicted.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    sample_weight : array-like of shape (n,), optional
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> jaccard_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.6666666666666666
    """
    return call_sklearn(
        "jaccard_score",
        y_true,
        y_pred,
        labels=labels,
        pos_label=pos_label,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
    )


def cohen_kappa_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    weights: str | None = None,
    sample_weight: Any = None,
) -> Any:
    """Agreement beyond chance; NaN where chance alone agrees.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes, in their order; all by default.
    weights : {None, "linear", "quadratic"}, default=None
        How much worse distant classes are.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    value : float

    Examples
    --------
    >>> cohen_kappa_score([0, 1, 1, 1], [0, 1, 1, 0])
    0.5
    """
    return call_sklearn(
        "cohen_kappa_score",
        y_true,
        y_pred,
        labels=labels,
        weights=weights,
        sample_weight=sample_weight,
    )


def matthews_corrcoef(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
) -> Any:
    """Correlation of true and predicted classes; 0 where one is constant.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    value : float

    Examples
    --------
    >>> matthews_corrcoef([0, 0, 1, 1], [0, 0, 1, 1])
    1.0
    """
    return call_sklearn(
        "matthews_corrcoef",
        y_true,
        y_pred,
        sample_weight=sample_weight,
    )


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    sample_weight: Any = None,
    normalize: str | None = None,
) -> Any:
    """Counts of samples by true class (rows) and predicted class (columns).

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    labels : sequence, optional
        Classes, in their order; all by default.
    sample_weight : array-like of shape (n,), optional
    normalize : {"true", "pred", "all", None}, default=None
        Divide by the sum of rows, of columns, of all.

    Returns
    -------
    value : ndarray of shape (k, k)

    Examples
    --------
    >>> confusion_matrix([0, 1, 1, 1], [0, 1, 1, 0])
    array([[1, 0],
           [1, 2]])
    """
    return call_sklearn(
        "confusion_matrix",
        y_true,
        y_pred,
        labels=labels,
        sample_weight=sample_weight,
        normalize=normalize,
    )
