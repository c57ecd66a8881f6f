"""The fingerprint of data: is it the same that a version learned from?"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from trimtab.errors import InputError

__all__ = ["fingerprint"]


def fingerprint(*arrays: Any) -> str:
    """Give the digest of arrays: of their dtypes, shapes and elements, in order.

    Parameters
    ----------
    *arrays : array-like
        Of numbers, booleans or texts.

    Returns
    -------
    digest : str

    Raises
    ------
    InputError
        Elements are objects, whose bytes say nothing.

    Examples
    --------
    >>> x = np.arange(4.0)
    >>> fingerprint(x) == fingerprint(x[::-1][::-1])
    True
    >>> fingerprint(x) == fingerprint(x.reshape(2, 2))
    False
    """
    hasher = sha256()
    for number, given in enumerate(arrays):
        array = np.asarray(given)
        if array.dtype.hasobject:
            raise InputError(
                f"fingerprint: array {number} holds objects; give numbers or texts"
            )
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        hasher.update(f"{array.dtype.str}{array.shape}\n".encode())
        hasher.update(np.ascontiguousarray(array).tobytes())
    return f"sha256:{hasher.hexdigest()}"
