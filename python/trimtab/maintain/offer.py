"""New labelled data, however they come: how many rows, and are they new?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.data import take
from trimtab.npz import LABELS, read_npz

__all__ = ["Offer", "Source"]


@dataclass(frozen=True, eq=False)
class Offer:
    """Labelled rows that may be learned from.

    Parameters
    ----------
    data : object
        As `update_model` takes them: (x, y), or arrays by name.
    n_rows : int
    fingerprint : str
        Equal data have equal ones.
    """

    data: Any
    n_rows: int
    fingerprint: str

    def n_new(self, fingerprint: str, n_rows: int) -> int:
        """Count the rows that were not among earlier data.

        Parameters
        ----------
        fingerprint : str
            Of the earlier data; "" where there were none.
        n_rows : int
            That they had.

        Returns
        -------
        n : int
            What was added to them, or all rows where they are others.
        """
        if fingerprint == self.fingerprint:
            return 0
        if 0 < n_rows < self.n_rows and fingerprint:
            begins_alike = _fingerprint(_first(self.data, n_rows)) == fingerprint
            return self.n_rows - n_rows if begins_alike else self.n_rows
        return self.n_rows


class Source:
    """Where new labelled data are looked for.

    Parameters
    ----------
    given : callable, path, tuple, mapping or None
        A function without arguments that gives data or None, an .npz file that grows
        or is replaced, or the data.

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> Source((np.zeros((3, 2)), [0, 1, 1])).look().n_rows
    3
    """

    def __init__(self, given: Any) -> None:
        is_path = isinstance(given, str | os.PathLike)
        is_data = isinstance(given, tuple | Mapping)
        if given is not None and not (is_path or is_data or callable(given)):
            raise InputError(
                "new_data: expected (x, y), arrays by name, an .npz file or a function "
                f"that gives these, got {type(given).__name__}"
            )
        self._read: Callable[[], Any] = (
            given if callable(given) else (lambda: self._file(given)) if is_path
            else (lambda: given)
        )  # fmt: skip
        self._seen: tuple[Any, Any] = (None, None)
        self._offer: Offer | None = None

    def _file(self, path: str | os.PathLike[str]) -> Any:
        """Read a file again only where it changed; it may not be there yet."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        key = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._seen[0] != key:
            self._seen = (key, read_npz(os.fspath(path), "new_data"))
        return self._seen[1]

    def look(self) -> Offer | None:
        """Give what is there now.

        Returns
        -------
        offer : Offer or None

        Raises
        ------
        InputError
            It is no labelled data.
        """
        data = self._read()
        if data is None:
            return None
        if self._offer is not None and self._offer.data is data:
            return self._offer
        labels = _labels(data)
        if not len(labels):
            return None
        self._offer = Offer(data, len(labels), _fingerprint(data))
        return self._offer


def _labels(data: Any) -> Any:
    if isinstance(data, Mapping):
        name = next((name for name in LABELS if name in data), None)
        if name is None:
            raise InputError(
                f"new_data: expected labels as one of {list(LABELS)} among the arrays, "
                f"got {sorted(map(str, data))}"
            )
        return np.asarray(data[name])
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise InputError(
            f"new_data: expected (x, y) or arrays by name, got {type(data).__name__}"
        )
    return np.asarray(data[1])


def _fingerprint(data: Any) -> str:
    """Of arrays their bytes; of requests that are none, one by one."""
    from trimtab.registry.data import fingerprint

    if isinstance(data, Mapping):
        names = sorted(map(str, data))
        return fingerprint(np.array(names), *(np.asarray(data[n]) for n in names))
    x, y = data
    if isinstance(x, Mapping):
        return _fingerprint({**x, "trimtab/labels": y})
    arrays = x if isinstance(x, tuple) else (x,)
    try:
        return fingerprint(*(np.asarray(one) for one in arrays), np.asarray(y))
    except (InputError, ValueError):
        each = [*(one for part in arrays for one in part), *y]
        return fingerprint(np.array([_one(one) for one in each]))


def _one(request: Any) -> str:
    from trimtab.registry.data import fingerprint

    try:
        return fingerprint(request)
    except (InputError, ValueError):
        return repr(request)


def _first(data: Any, n: int) -> Any:
    """The first rows."""
    if isinstance(data, Mapping):
        return {name: value[:n] for name, value in data.items()}
    x, y = data
    return take(x, 0, n), y[:n]
