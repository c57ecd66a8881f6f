"""Labelled rows of a model: what updates learn from and gates judge by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["Rows", "row_digests"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows for a model.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        By the model's names; dim 0 counts rows.
    labels : ndarray
        One for each row: the number of a class, a row of yes and no, or numbers.

    Examples
    --------
    >>> rows = Rows({"x": np.eye(3)}, np.array([0, 1, 2]))
    >>> len(rows), rows.take(np.array([2])).labels
    (3, array([2]))
    """

    inputs: Mapping[str, Array]
    labels: Array

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.labels)

    def __iter__(self) -> Iterator[Any]:
        """Give the inputs, then the labels."""
        return iter((self.inputs, self.labels))

    def take(self, chosen: Array | slice) -> Rows:
        """Give some of the rows.

        Parameters
        ----------
        chosen : ndarray of int or bool, or slice

        Returns
        -------
        rows : Rows
        """
        inputs = {name: array[chosen] for name, array in self.inputs.items()}
        return Rows(inputs, np.asarray(self.labels)[chosen])

    def joined(self, other: Rows) -> Rows:
        """Give these rows and others behind them.

        Parameters
        ----------
        other : Rows

        Returns
        -------
        rows : Rows
        """
        inputs = {
            name: np.concatenate([array, other.inputs[name]])
            for name, array in self.inputs.items()
        }
        return Rows(inputs, np.concatenate([self.labels, other.labels]))


def row_digests(inputs: Mapping[str, Array]) -> tuple[bytes, ...]:
    """Give the digest of each row.

    Parameters
    ----------
    inputs : mapping of str to ndarray

    Returns
    -------
    digests : tuple of bytes

    Examples
    --------
    >>> a, b, c = row_digests({"x": np.array([[1.0], [2.0], [1.0]])})
    >>> a == c, a == b
    (True, False)
    """
    arrays = [np.ascontiguousarray(inputs[name]) for name in sorted(inputs)]
    found = []
    for i in range(len(arrays[0]) if arrays else 0):
        hasher = blake2b(digest_size=16)
        for array in arrays:
            hasher.update(array[i].tobytes())
        found.append(hasher.digest())
    return tuple(found)
