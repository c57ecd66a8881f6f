"""Keys of JSON objects that are given twice: two readers would see two files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

__all__ = ["repeated_key"]


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """Find a key that an object has more than once, in n log n.

    Parameters
    ----------
    pairs : sequence of (str, object)
        As `json.loads` gives them to its ``object_pairs_hook``.

    Returns
    -------
    key : str or None
        The first of them by name; None where all differ.

    Examples
    --------
    >>> repeated_key([("a", 1), ("b", 2), ("a", 3)])
    'a'
    >>> repeated_key([("a", 1)]) is None
    True
    """
    if len({key for key, _ in pairs}) == len(pairs):
        return None
    names = sorted(key for key, _ in pairs)
    return next(a for a, b in pairwise(names) if a == b)
