"""What metrics take: arrays of labels, values, scores and weights, checked at the door.

Enters: what callers call y_true, y_pred and sample_weight. Leaves: arrays of one length
and no NaN, or an `InputError` that says what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError, InputTypeError
from trimtab.stats.special import Floats

__all__ = [
    "as_labels",
    "as_numbers",
    "as_scores",
    "as_weights",
    "check_length",
    "class_places",
    "freeze",
]

Array = npt.NDArray[Any]


def as_numbers(values: Any, *, name: str) -> Floats:
    """Give numbers as float64; NaN and infinities are refused.

    Parameters
    ----------
    values : array-like
    name : str
        Of the argument, for messages.

    Returns
    -------
    numbers : ndarray of float64

    Raises
    ------
    InputError
        They are no finite numbers.

    Examples
    --------
    >>> as_numbers([1, 2], name="y_true")
    array([1., 2.])
    """
    try:
        numbers: Floats = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name}: expected numbers, got {error}") from None
    is_bad = ~np.isfinite(numbers)
    if is_bad.any():
        first = np.argwhere(is_bad)[0].tolist()
        raise InputError(
            f"{name}: expected finite numbers, got {numbers[tuple(first)]} at {first} "
            f"({int(is_bad.sum())} of {numbers.size}); drop or fill them first"
        )
    return numbers


def as_labels(values: Any, *, name: str) -> Array:
    """Give classes as a vector of integers, booleans or texts.

    Parameters
    ----------
    values : array-like of shape (n,)
        Floats are taken where they are whole.
    name : str
        Of the argument, for messages.

    Returns
    -------
    labels : ndarray of shape (n,)

    Raises
    ------
    InputError
        They are no classes.

    Examples
    --------
    >>> as_labels([1.0, 0.0], name="y_pred").tolist()
    [1, 0]
    """
    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"{name}: expected classes of shape (n,), got shape {labels.shape}; of "
            "scores by class take the argmax, or a metric that needs scores"
        )
    if labels.dtype.kind == "O":
        kinds = {type(value) for value in labels.tolist()}
        if kinds <= {str, np.str_}:
            return labels.astype(np.str_)
        if not all(issubclass(kind, (bool, int, float, np.number)) for kind in kinds):
            found = sorted(kind.__name__ for kind in kinds)
            raise InputTypeError(
                f"{name}: expected classes as integers or as texts, got {found}"
            )
        labels = labels.astype(np.float64)
    if labels.dtype.kind == "f":
        numbers = as_numbers(labels, name=name)
        if (numbers != np.floor(numbers)).any() or (np.abs(numbers) > 2**53).any():
            raise InputError(
                f"{name}: expected classes, got numbers that are not whole, as "
                f"{numbers[numbers != np.floor(numbers)][:1]}"
            )
        return numbers.astype(np.int64)
    if labels.dtype.kind not in "biuU":
        raise InputTypeError(
            f"{name}: expected classes as integers or as texts, got {labels.dtype}"
        )
    return labels


def as_scores(values: Any, *, name: str = "y_pred") -> Floats:
    """Give scores as a vector, or as a matrix with a column for each class.

    Parameters
    ----------
    values : array-like of shape (n,) or (n, k)
        Two columns are those of the negative and the positive class: the second one
        is taken.
    name : str, default="y_pred"

    Returns
    -------
    scores : ndarray of shape (n,) or (n, k)

    Raises
    ------
    InputError
        They have another shape.

    Examples
    --------
    >>> as_scores([[0.25, 0.75], [0.5, 0.5]])
    array([0.75, 0.5 ])
    """
    scores = as_numbers(values, name=name)
    if scores.ndim == 2 and scores.shape[1] in (1, 2):
        return scores[:, -1]
    if scores.ndim not in (1, 2) or (scores.ndim == 2 and not scores.shape[1]):
        raise InputError(
            f"{name}: expected scores of shape (n,) or (n, n_classes), "
            f"got {scores.shape}"
        )
    return scores


def as_weights(sample_weight: Any, n: int) -> Floats | None:
    """Give weights of samples.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), optional
    n : int

    Returns
    -------
    weights : ndarray of shape (n,) or None
        None: all are 1.

    Raises
    ------
    InputError
        They are not as many, or negative.

    Examples
    --------
    >>> as_weights([1, 2], 2)
    array([1., 2.])
    """
    if sample_weight is None:
        return None
    weights = as_numbers(sample_weight, name="sample_weight")
    if weights.shape != (n,) or (weights < 0).any():
        what = "a negative one" if weights.shape == (n,) else f"shape {weights.shape}"
        raise InputError(
            f"sample_weight: expected {n} weights that are not negative, got {what}"
        )
    return weights


def check_length(y_true: Any, y_pred: Any) -> int:
    """Refuse predictions that are not as many as the truths.

    Parameters
    ----------
    y_true, y_pred : sized

    Returns
    -------
    n : int

    Raises
    ------
    InputError
        Their lengths differ.

    Examples
    --------
    >>> check_length([1, 2], [1, 1])
    2
    """
    if len(y_true) != len(y_pred):
        raise InputError(
            f"expected as many predictions as truths, got y_true of {len(y_true)} "
            f"and y_pred of {len(y_pred)} samples"
        )
    return len(y_true)


def class_places(
    labels: Array, classes: Sequence[Any] | None, n_classes: int
) -> npt.NDArray[np.intp]:
    """Find the column of each sample's class.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    classes : sequence or None
        Classes in the order of the columns; None: they are 0, 1, ..., n_classes - 1.
    n_classes : int
        Columns.

    Returns
    -------
    places : ndarray of shape (n,)

    Raises
    ------
    InputError
        A class has no column.

    Examples
    --------
    >>> class_places(np.array(["b", "a"]), ("a", "b"), 2).tolist()
    [1, 0]
    """
    known = list(range(n_classes)) if classes is None else list(classes)
    if len(known) != n_classes:
        raise InputError(
            f"labels: expected {n_classes} classes for {n_classes} columns of scores, "
            f"got {len(known)}"
        )
    place = {label: i for i, label in enumerate(known)}
    unique, inverse = np.unique(labels, return_inverse=True)
    unknown = [label for label in unique.tolist() if label not in place]
    if unknown:
        how = "0 to n_classes - 1 (or labels=)" if classes is None else f"{known[:8]}"
        raise InputError(
            f"y_true: expected classes {how} for {n_classes} columns of scores, "
            f"got {unknown[:8]}"
        )
    found = np.array([place[label] for label in unique.tolist()], np.intp)
    return found[inverse] if len(labels) else np.empty(0, np.intp)


def freeze(value: Any) -> Any:
    """Give an option as something that can be compared with `==` and pickled.

    Parameters
    ----------
    value : Any

    Returns
    -------
    frozen : Any
        Arrays and lists become tuples, NaN (which equals nothing) the text "nan".

    Examples
    --------
    >>> freeze(np.array([1, 2]))
    (1, 2)
    """
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(freeze(part) for part in np.asarray(value, object).tolist())
    plain = value.item() if isinstance(value, np.generic) else value
    return "nan" if isinstance(plain, float) and math.isnan(plain) else plain
