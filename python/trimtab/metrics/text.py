"""Metrics of transcripts: the words, or the characters, that are wrong.

Errors are the fewest substitutions, deletions and insertions that turn what was
recognised into what was said (Levenshtein); rates are of the words that were said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.metrics.accumulate import Accumulator, at_once
from trimtab.metrics.inputs import check_length
from trimtab.metrics.moments import RatioAccumulator
from trimtab.stats.special import Floats

__all__ = [
    "character_error_rate",
    "edit_distance",
    "text_accumulator",
    "word_error_rate",
]

# Cells of the table of one pair: some seconds.
_MAX_CELLS = 4_000_000_000


def edit_distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Fewest substitutions, deletions and insertions between two sequences.

    One row of the table at a time: O(n) memory, NumPy's speed.

    Parameters
    ----------
    first, second : sequence
        Of words, or a text.

    Returns
    -------
    distance : int

    Raises
    ------
    InputError
        They are too long.

    References
    ----------
    Wagner, Fischer (1974). The string-to-string correction problem. Journal of the ACM
    21, 168-173.

    Examples
    --------
    >>> edit_distance("kitten", "sitting"), edit_distance(["a", "b"], ["b"])
    (3, 1)
    """
    if len(first) * len(second) > _MAX_CELLS:
        raise InputError(
            f"texts of {len(first)} and {len(second)} units are too long to align; cut "
            "them into sentences"
        )
    if len(first) > len(second):
        first, second = second, first
    numbers: dict[Any, int] = {}
    a, b = (
        np.array([numbers.setdefault(x, len(numbers)) for x in units], np.int64)
        for units in (first, second)
    )
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for i, unit in enumerate(a):
        new = np.empty_like(row)
        new[0] = i + 1
        new[1:] = np.minimum(row[1:] + 1, row[:-1] + (b != unit))
        # Insertions: the best of all places to the left, a step each.
        row = np.minimum.accumulate(new - steps) + steps
    return int(row[-1])


def _texts(given: Any, name: str) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str):
            raise InputTypeError(
                f"{name}: expected a list of texts, got {type(text).__name__} in it"
            )
    return texts


_UNITS: dict[str, Callable[[str], Sequence[str]]] = {
    "word": str.split,
    "character": str.strip,
}


def _errors(
    y_true: Any, y_pred: Any, *, unit: str, normalize: Callable[[str], str] | None
) -> tuple[Floats, Floats]:
    """Errors in each text, and its length."""
    truth, found = _texts(y_true, "y_true"), _texts(y_pred, "y_pred")
    n = check_length(truth, found)
    split, errors, lengths = _UNITS[unit], np.zeros(n), np.zeros(n)
    for i, (said, heard) in enumerate(zip(truth, found, strict=True)):
        if normalize is not None:
            said, heard = normalize(said), normalize(heard)
        units = split(said)
        errors[i], lengths[i] = edit_distance(units, split(heard)), len(units)
    return errors, lengths


def text_accumulator(
    unit: str, *, normalize: Callable[[str], str] | None = None
) -> Accumulator:
    """Give the streaming form of an error rate; texts are its samples.

    Parameters
    ----------
    unit : {"word", "character"}
    normalize : callable, optional

    Returns
    -------
    accumulator : Accumulator

    Examples
    --------
    >>> running = text_accumulator("word")
    >>> running.update(["the cat sat"], ["the cat sat down"])
    >>> round(running.compute(), 4)
    0.3333
    """
    return RatioAccumulator(_errors, unit=unit, normalize=normalize)


def word_error_rate(
    y_true: Any,
    y_pred: Any,
    *,
    normalize: Callable[[str], str] | None = None,
    sample_weight: Any = None,
) -> float:
    """Errors of words by words that were said; above 1 where more is heard than said.

    Parameters
    ----------
    y_true, y_pred : str or sequence of str
        What was said, and what was recognised.
    normalize : callable, optional
        Text -> text, applied to both: case, punctuation.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    rate : float
        Infinite where nothing was said and something was heard.

    Examples
    --------
    >>> round(word_error_rate(["the cat sat"], ["The cat"], normalize=str.lower), 4)
    0.3333
    """
    running = text_accumulator("word", normalize=normalize)
    return float(at_once(running, y_true, y_pred, sample_weight))


def character_error_rate(
    y_true: Any,
    y_pred: Any,
    *,
    normalize: Callable[[str], str] | None = None,
    sample_weight: Any = None,
) -> float:
    """Errors of characters by characters that were said, blanks within included.

    Parameters
    ----------
    y_true, y_pred : str or sequence of str
    normalize : callable, optional
        Text -> text, applied to both.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    rate : float

    Examples
    --------
    >>> character_error_rate(["abcd"], ["abxd"])
    0.25
    """
    running = text_accumulator("character", normalize=normalize)
    return float(at_once(running, y_true, y_pred, sample_weight))
