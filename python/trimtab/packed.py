"""Elements below a byte: close together in files, a byte each in arrays."""

from __future__ import annotations

import math

import numpy as np

from trimtab.types import Array

__all__ = ["pack", "unpack"]


def pack(array: Array, bits: int) -> Array:
    """Put elements close together, the first in the low bits.

    Parameters
    ----------
    array : ndarray of one byte an element
        Bits above the element's own are ignored.
    bits : {2, 4, 6}
        Of one element.

    Returns
    -------
    packed : ndarray of uint8
        Of rank 1; the last byte is filled up with zeros.

    Examples
    --------
    >>> pack(np.array([1, 2, 3], np.uint8), 4).tolist()
    [33, 3]
    """
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    n_whole = 8 // math.gcd(8, bits)  # elements that fill whole bytes together
    n_bytes = n_whole * bits // 8
    words = np.zeros((-(-flat.size // n_whole), n_whole), np.uint32)
    words.reshape(-1)[: flat.size] = flat & ((1 << bits) - 1)
    joined = np.bitwise_or.reduce(
        words << (bits * np.arange(n_whole, dtype=np.uint32)), axis=1, initial=0
    )
    whole = joined.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :n_bytes]
    packed: Array = whole.reshape(-1)[: (flat.size * bits + 7) // 8].copy()
    return packed


def unpack(packed: Array, bits: int, n: int) -> Array:
    """Give each element a byte of its own.

    Parameters
    ----------
    packed : ndarray of uint8
        What `pack` makes of n elements.
    bits : {2, 4, 6}
        Of one element.
    n : int
        How many elements there are.

    Returns
    -------
    array : ndarray of uint8 of shape (n,)

    Examples
    --------
    >>> unpack(np.array([33, 3], np.uint8), 4, 3).tolist()
    [1, 2, 3]
    """
    n_whole = 8 // math.gcd(8, bits)
    n_bytes = n_whole * bits // 8
    rows = np.zeros((-(-n // n_whole), 4), np.uint8)
    whole = np.zeros((rows.shape[0], n_bytes), np.uint8)
    whole.reshape(-1)[: packed.size] = packed.reshape(-1)
    rows[:, :n_bytes] = whole
    shifts = bits * np.arange(n_whole, dtype=np.uint32)
    items = (rows.view("<u4") >> shifts) & ((1 << bits) - 1)
    array: Array = items.astype(np.uint8).reshape(-1)[:n]
    return array
