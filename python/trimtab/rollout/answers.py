"""What a model said, small enough to keep until its label comes; how wrong it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.types import Array

__all__ = ["agree", "answers_of", "losses", "wrong"]

# Rows of a request that are kept; one request is one observation.
_MAX_ROWS = 256


def _first(result: Any) -> Any:
    """The first output of several."""
    if isinstance(result, Mapping):
        result = tuple(result.values())
    return result[0] if isinstance(result, (tuple, list)) and result else result


def answers_of(result: Any) -> Array:
    """Give one value a row: the class of the highest score, or what the model says.

    Parameters
    ----------
    result : ndarray, or tuple or dict of ndarray
        Of several outputs the first one counts.

    Returns
    -------
    answers : ndarray
        Integers for classes, floats for numbers and single scores.

    Examples
    --------
    >>> answers_of(np.array([[0.1, 0.9], [0.8, 0.2]], np.float32))
    array([1, 0])
    """
    array = np.asarray(_first(result))
    if array.dtype.kind == "f" and array.ndim >= 2 and array.shape[-1] > 1:
        array = array.argmax(-1)
    kept: Array = array.reshape(-1)[:_MAX_ROWS].copy()
    return kept


def _classes(label: Array, answers: Array) -> Array | None:
    """Classes that a label can be compared with; None where it is about numbers."""
    if answers.dtype.kind != "f":
        return answers
    if label.dtype.kind in "biu" and ((answers >= 0) & (answers <= 1)).all():
        return answers > 0.5
    return None


def _rows_of(label: Any, answers: Array) -> Array | None:
    """A label as one value a row; None where it has another number of rows."""
    wanted = np.asarray(label)
    if wanted.ndim > 1 and wanted.shape[-1] > 1 and answers.dtype.kind != "f":
        wanted = wanted.argmax(-1)  # one-hot
    rows: Array = wanted.reshape(-1)[:_MAX_ROWS]
    return rows if len(rows) in (1, len(answers)) else None


def wrong(label: Any, answers: Array) -> float | None:
    """How wrong classes are: the share of a request's rows.

    Parameters
    ----------
    label : object
        One, or one a row: a class by number, or one-hot.
    answers : ndarray
        Of `answers_of`.

    Returns
    -------
    share : float or None
        None where the label does not fit, or is about numbers.

    Examples
    --------
    >>> wrong([1, 0], np.array([1, 1])), wrong(1, np.array([0.7]))
    (0.5, 0.0)
    """
    rows = _rows_of(label, answers)
    classes = None if rows is None else _classes(rows, answers)
    if rows is None or classes is None:
        return None
    if rows.dtype.kind == "f":
        rows = np.rint(rows)
    return float((classes != rows).mean())


def losses(label: Any, champion: Array, candidate: Array) -> tuple[float, float] | None:
    """How wrong both were on a request: shares of its rows.

    Parameters
    ----------
    label : object
        One, or one a row; of classes by number, or numbers.
    champion, candidate : ndarray
        Of `answers_of`.

    Returns
    -------
    losses : (float, float) or None
        0 to 1. Of numbers, the share of rows on which the other one is nearer. None
        where the label does not fit.

    Examples
    --------
    >>> losses(1, np.array([1]), np.array([0]))
    (0.0, 1.0)
    >>> losses(2.0, np.array([1.5]), np.array([2.1]))
    (1.0, 0.0)
    """
    pair = wrong(label, champion), wrong(label, candidate)
    if pair[0] is not None and pair[1] is not None:
        return pair[0], pair[1]
    rows = _rows_of(label, champion)
    if rows is None or len(champion) != len(candidate):
        return None
    if any(array.dtype.kind not in "biuf" for array in (rows, champion, candidate)):
        return None
    gaps = [np.abs(a.astype(np.float64) - rows) for a in (champion, candidate)]
    return float((gaps[0] > gaps[1]).mean()), float((gaps[1] > gaps[0]).mean())


def agree(champion: Array, candidate: Array) -> bool | None:
    """Do both give the same classes?

    Parameters
    ----------
    champion, candidate : ndarray
        Of `answers_of`.

    Returns
    -------
    agree : bool or None
        None where they are numbers, which need not be equal.

    Examples
    --------
    >>> agree(np.array([1, 0]), np.array([1, 0]))
    True
    """
    if champion.dtype.kind == "f" or candidate.dtype.kind == "f":
        return None
    return champion.shape == candidate.shape and bool((champion == candidate).all())
