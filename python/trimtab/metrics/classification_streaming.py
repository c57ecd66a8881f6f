"""Metrics of predicted classes, streamed: counts of (true, predicted) by class.

The options are those of the functions in `trimtab.metrics.classification`.
"""

from __future__ import annotations

from typing import Any

from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.confusion import ConfusionAccumulator, ConfusionMatrixAccumulator

__all__ = [
    "accuracy_accumulator",
    "balanced_accuracy_accumulator",
    "cohen_kappa_accumulator",
    "confusion_matrix_accumulator",
    "f1_accumulator",
    "jaccard_accumulator",
    "matthews_corrcoef_accumulator",
    "precision_accumulator",
    "recall_accumulator",
]


def accuracy_accumulator() -> Accumulator:
    """Give the streaming form of `accuracy_score`.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = accuracy_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.75
    """
    return ConfusionAccumulator("accuracy")


def balanced_accuracy_accumulator(
    *,
    adjusted: bool = False,
) -> Accumulator:
    """Give the streaming form of `balanced_accuracy_score`.

    Parameters
    ----------
    adjusted : bool, default=False
        Chance is 0.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = balanced_accuracy_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.8333333333333333
    """
    return ConfusionAccumulator("balanced_accuracy", adjusted=adjusted)


def precision_accumulator(
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: Any = 0.0,
) -> Accumulator:
    """Give the streaming form of `precision_score`.

    Parameters
    ----------
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = precision_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    1.0
    """
    return ConfusionAccumulator(
        "precision",
        labels=labels,
        pos_label=pos_label,
        average=average,
        zero_division=zero_division,
    )


def recall_accumulator(
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: Any = 0.0,
) -> Accumulator:
    """Give the streaming form of `recall_score`.

    Parameters
    ----------
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = recall_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.6666666666666666
    """
    return ConfusionAccumulator(
        "recall",
        labels=labels,
        pos_label=pos_label,
        average=average,
        zero_division=zero_division,
    )


def f1_accumulator(
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: Any = 0.0,
) -> Accumulator:
    """Give the streaming form of `f1_score`.

    Parameters
    ----------
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = f1_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.8
    """
    return ConfusionAccumulator(
        "f_score",
        labels=labels,
        pos_label=pos_label,
        average=average,
        zero_division=zero_division,
        beta=1.0,
    )


def jaccard_accumulator(
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: Any = 0.0,
) -> Accumulator:
    """Give the streaming form of `jaccard_score`.

    Parameters
    ----------
    labels : sequence, optional
        Classes that count; all by default.
    pos_label : int or str, default=1
        The class of "binary".
    average : {"binary", "micro", "macro", "weighted", None}, default="binary"
    zero_division : float, default=0.0
        Value of 0 / 0: 0, 1 or NaN.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = jaccard_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.6666666666666666
    """
    return ConfusionAccumulator(
        "jaccard",
        labels=labels,
        pos_label=pos_label,
        average=average,
        zero_division=zero_division,
    )


def cohen_kappa_accumulator(
    *,
    labels: Any = None,
    weights: str | None = None,
) -> Accumulator:
    """Give the streaming form of `cohen_kappa_score`.

    Parameters
    ----------
    labels : sequence, optional
        Classes, in their order; all by default.
    weights : {None, "linear", "quadratic"}, default=None
        How much worse distant classes are.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = cohen_kappa_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    0.5
    """
    return ConfusionAccumulator("kappa", labels=labels, weights=weights)


def matthews_corrcoef_accumulator() -> Accumulator:
    """Give the streaming form of `matthews_corrcoef`.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = matthews_corrcoef_accumulator()
    >>> running.update([0, 0, 1, 1], [0, 0, 1, 1])
    >>> running.compute()
    1.0
    """
    return ConfusionAccumulator("matthews")


def confusion_matrix_accumulator(
    *,
    labels: Any = None,
    normalize: str | None = None,
) -> Accumulator:
    """Give the streaming form of `confusion_matrix`.

    Parameters
    ----------
    labels : sequence, optional
        Classes, in their order; all by default.
    normalize : {"true", "pred", "all", None}, default=None
        Divide by the sum of rows, of columns, of all.

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = confusion_matrix_accumulator()
    >>> running.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> running.compute()
    array([[1, 0],
           [1, 2]])
    """
    return ConfusionMatrixAccumulator(labels=labels, normalize=normalize)
