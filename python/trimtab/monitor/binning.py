"""Bins of a feature, chosen by the values of the reference; categories as numbers.

Enters: a column of the reference. Leaves: edges by quantiles, or the most frequent
categories with their codes, so that later values can be counted in C.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["MAX_EDGES", "check_bins", "choose_edges", "encode", "top_categories"]

MAX_EDGES = 255
MAX_TEXT = 200
#: Code of a category that the reference does not have.
UNSEEN = -(2**31)

Floats = npt.NDArray[np.float64]


def choose_edges(values: npt.ArrayLike, n_bins: int = 32) -> Floats:
    """Choose edges at quantiles, with what the reference never saw outside.

    Parameters
    ----------
    values : array-like
        Numbers; those that are not finite do not count.
    n_bins : int, default=32
        Wanted between the least and the largest value. Few different values get a bin
        each; a value that holds more than a bin's share gets one of its own.

    Returns
    -------
    edges : ndarray of float64
        Ascending; the first bin is for values below all of the reference, the last for
        values above. Empty where there is no finite value.

    Examples
    --------
    >>> choose_edges([0, 0, 1, 2, 2]).tolist()[1:-1]
    [0.5, 1.5]
    >>> len(choose_edges(np.arange(1000), n_bins=10))
    11
    """
    x = np.asarray(values, np.float64).ravel()
    x = x[np.isfinite(x)]
    if not len(x):
        return np.empty(0)
    different = np.unique(x)
    low, high = different[0], _after(different[-1])
    if len(different) <= n_bins:
        inner = different[:-1] + np.diff(different) / 2
        # Neighbouring numbers have no middle.
        inner = np.where(inner > different[:-1], inner, different[1:])
    else:
        at = np.quantile(x, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
        found, times = np.unique(at, return_counts=True)
        heavy = found[times > 1]
        inner = np.concatenate([found, [_after(value) for value in heavy]])
    edges: Floats = np.unique(np.concatenate([[low], inner, [high]]))
    finite: Floats = edges[np.isfinite(edges)]
    return finite[:MAX_EDGES]


def _after(value: float) -> float:
    """The next number that float32 can tell apart, as inputs have it."""
    with np.errstate(over="ignore"):
        step = np.nextafter(np.float32(value), np.float32(np.inf))
    return float(step) if step > value else float(np.nextafter(value, np.inf))


def top_categories(
    values: Array, n_max: int = 64
) -> tuple[tuple[str, int | None], ...]:
    """Choose the most frequent categories.

    Parameters
    ----------
    values : ndarray
        Whole numbers, or texts; None and NaN are missing.
    n_max : int, default=64

    Returns
    -------
    categories : tuple of (str, int or None)
        Text and code, sorted by the code or the text; None: texts have none.

    Examples
    --------
    >>> top_categories(np.array([3, 1, 3, 2]), n_max=2)
    (('1', 1), ('3', 3))
    >>> top_categories(np.array(["b", None, "a"], object))
    (('a', None), ('b', None))
    """
    values = np.asarray(values).ravel()
    if values.dtype.kind in "biuf":
        good = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        whole = good[np.abs(good.astype(np.float64)) < 2**53].astype(np.int64)
        found, times = np.unique(whole, return_counts=True)
        kept = np.sort(found[np.lexsort((found, -times))[:n_max]])
        return tuple((str(code), int(code)) for code in kept)
    texts = Counter(_text(value) for value in values.tolist() if not _is_lost(value))
    ranked = sorted(texts, key=lambda text: (-texts[text], text))[:n_max]
    return tuple((text, None) for text in sorted(ranked))


def _text(value: Any) -> str:
    return str(value)[:MAX_TEXT]


def _is_lost(value: Any) -> bool:
    try:
        return value is None or bool(value != value)  # NaN, NaT
    except (TypeError, ValueError):  # pandas.NA says neither yes nor no
        return True


def encode(
    values: Array, categories: Sequence[str], codes: Sequence[int] | None
) -> npt.NDArray[np.float64]:
    """Give categories as numbers that a sketch counts.

    Parameters
    ----------
    values : ndarray
        Numbers or texts.
    categories : sequence of str
        Of the reference.
    codes : sequence of int, optional
        Of the categories, where they are numbers themselves; else their position.

    Returns
    -------
    numbers : ndarray of float64
        NaN for what is missing, a number that no category has for what is unseen.

    Examples
    --------
    >>> encode(np.array(["b", None, "z"], object), ["a", "b"], None).tolist()
    [1.0, nan, -2147483648.0]
    """
    values = np.asarray(values).ravel()
    is_number = values.dtype.kind in "biuf"
    if is_number and codes is not None:
        return values.astype(np.float64)
    place = dict(zip(categories, codes or range(len(categories)), strict=True))
    given = values.tolist()
    return np.array(
        [
            np.nan if _is_lost(value) else place.get(_text(value), UNSEEN)
            for value in given
        ],
        np.float64,
    )


def check_bins(n_bins: int) -> None:
    """Refuse numbers of bins that a sketch cannot have.

    Parameters
    ----------
    n_bins : int

    Raises
    ------
    InputError
        It is too small or too large.

    Examples
    --------
    >>> check_bins(32)
    """
    if not 2 <= n_bins <= MAX_EDGES // 2:
        raise InputError(f"n_bins: expected 2 to {MAX_EDGES // 2}, got {n_bins!r}")
