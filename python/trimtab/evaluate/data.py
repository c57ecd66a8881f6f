"""Labelled data as batches, whatever form it comes in.

Enters: (x, y), arrays by name with the labels among them, an .npz file, or an iterable
of batches. Leaves: `Data`, which gives one `Batch` after the other. What is known
beforehand (lengths, labels) is checked before the first of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.npz import LABELS, read_npz
from trimtab.types import Array

__all__ = ["Batch", "Data", "open_data"]

# Names that the only input usually has there, where the model has another one for it.
_INPUT_NAMES = ("x", "X", "data", "input", "inputs", "features", "images")


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples with their labels.

    Parameters
    ----------
    inputs : array, sequence, tuple or dict of these
        As the user gave them, cut to these samples.
    labels : ndarray
        Dim 0 counts samples.
    columns : dict of str to ndarray
        What else is known of each sample.
    numbers : ndarray of int
        Of the samples, from 0.
    """

    inputs: Any
    labels: Array
    columns: dict[str, Array]
    numbers: Array

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Data:
    """Labelled data.

    Parameters
    ----------
    parts : iterable of (inputs, labels, columns)
        One where all is in memory; as many as there are for a stream.
    n_samples : int or None
        None for a stream.
    labels : ndarray or None
        All of them; None for a stream.
    columns : tuple of str
        Of the metadata; of a stream they are not known.
    """

    parts: Iterable[tuple[Any, Array, dict[str, Array]]]
    n_samples: int | None = None
    labels: Array | None = None
    columns: tuple[str, ...] = ()

    def batches(self, size: int | None) -> Iterator[Batch]:
        """Give one batch after the other.

        Parameters
        ----------
        size : int or None
            Samples of each at most; None: as they come.

        Yields
        ------
        batch : Batch

        Returns
        -------
        batches : iterator of Batch
        """
        begin = 0
        for inputs, labels, columns in self.parts:
            n = len(labels)
            step = size or n
            for at in range(0, n, step):
                end = min(at + step, n)
                numbers = np.arange(begin + at, begin + end)
                if at == 0 and end == n:
                    yield Batch(inputs, labels, columns, numbers)
                    continue
                cut = {name: column[at:end] for name, column in columns.items()}
                yield Batch(take(inputs, at, end), labels[at:end], cut, numbers)
            begin += n

    def rows(self, chosen: Array) -> Batch:
        """Give some samples of data that is in memory.

        Parameters
        ----------
        chosen : ndarray of int

        Returns
        -------
        batch : Batch
        """
        inputs, labels, columns = next(iter(self.parts))
        cut = {name: column[chosen] for name, column in columns.items()}
        return Batch(choose(inputs, chosen), labels[chosen], cut, chosen)


# ---- inputs of any form -------------------------------------------------------------


def take(inputs: Any, begin: int, end: int) -> Any:
    """Cut inputs to some samples.

    Parameters
    ----------
    inputs : array, sequence, tuple or dict of these
    begin, end : int

    Returns
    -------
    inputs : same form

    Examples
    --------
    >>> take({"a": [1, 2, 3]}, 1, 3)
    {'a': [2, 3]}
    """

    def cut(x: Any) -> Any:
        return x.iloc[begin:end] if hasattr(x, "iloc") else x[begin:end]

    return _map(inputs, cut)


def choose(inputs: Any, chosen: Array) -> Any:
    """Give the samples of these numbers.

    Parameters
    ----------
    inputs : array, sequence, tuple or dict of these
    chosen : ndarray of int

    Returns
    -------
    inputs : same form

    Examples
    --------
    >>> choose(["a", "b", "c"], np.array([2, 0]))
    ['c', 'a']
    """

    def pick(x: Any) -> Any:
        if hasattr(x, "iloc"):
            return x.iloc[chosen]
        return x[chosen] if hasattr(x, "shape") else [x[i] for i in chosen]

    return _map(inputs, pick)


def _map(inputs: Any, function: Any) -> Any:
    """Apply to each array that has a dim of samples."""

    def one(value: Any) -> Any:
        return value if getattr(value, "shape", None) == () else function(value)

    if isinstance(inputs, Mapping):
        return {name: one(value) for name, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(one(value) for value in inputs)
    return one(inputs)


def _count(inputs: Any, what: str) -> int:
    """Samples of inputs; all of them must have as many."""
    counts: dict[str, int] = {}

    def add(name: str, value: Any) -> None:
        if getattr(value, "shape", None) == ():
            return
        try:
            counts[name] = len(value)
        except TypeError as error:
            raise InputError(
                f"{what}: expected arrays or sequences of samples, got "
                f"{type(value).__name__}"
            ) from error

    if isinstance(inputs, Mapping):
        for name, value in inputs.items():
            add(str(name), value)
    elif isinstance(inputs, tuple):
        for i, value in enumerate(inputs):
            add(f"input {i}", value)
    else:
        add("x", inputs)
    if len(set(counts.values())) != 1:
        raise InputError(f"{what}: inputs of different numbers of samples: {counts}")
    return next(iter(counts.values()))


# ---- labels -------------------------------------------------------------------------


def _as_labels(labels: Any, what: str) -> Array:
    """Labels as an array; what is ragged (texts, boxes) as one of objects."""
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError):
        array = np.empty(len(labels), object)
        array[:] = list(labels)
    if array.ndim == 0:
        raise InputError(
            f"{what}: labels: expected one for each sample, got {labels!r:.60}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        raise InputError(
            f"{what}: {int(bad.sum())} of {len(array)} labels are NaN or infinite, the "
            f"first is label {int(bad.argmax())}: leave those samples out"
        )
    return array


def _as_columns(metadata: Any, n: int, what: str) -> dict[str, Array]:
    """Columns of metadata: a mapping, a data frame or a structured array."""
    if metadata is None:
        return {}
    names: Any = getattr(getattr(metadata, "dtype", None), "names", None) or metadata
    try:
        columns = {str(name): np.asarray(metadata[name]) for name in names}
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{what}: metadata: expected columns by name, got {type(metadata).__name__}"
        ) from error
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != n:
            raise InputError(
                f"{what}: metadata {name!r} has shape {list(column.shape)}: expected "
                f"[{n}], one value for each sample"
            )
    return columns


# ---- opening ------------------------------------------------------------------------


def _from_named(
    arrays: Mapping[str, Any],
    names: tuple[str, ...] | None,
    labels: str | None,
    metadata: Any,
    what: str,
) -> tuple[Any, Array, dict[str, Array]]:
    """Tell labels, inputs and columns of metadata apart by their names."""
    found = [n for n in LABELS if n in arrays and n not in (names or ())]
    key = labels or (found[0] if found else None)
    if key is None or key not in arrays:
        raise InputError(
            f"{what}: expected the labels as {labels or LABELS[0]!r} "
            f"(labels= names them), got {sorted(map(str, arrays))}"
        )
    y = _as_labels(arrays[key], what)
    rest = {str(name): value for name, value in arrays.items() if name != key}
    inputs: Any
    if names is not None and set(names) <= set(rest):
        inputs = {name: rest.pop(name) for name in names}
    else:
        usual = [name for name in _INPUT_NAMES if name in rest]
        only = usual[:1] or (list(rest) if len(rest) == 1 else [])
        if not only or (names is not None and len(names) != 1):
            raise InputError(
                f"{what}: the inputs are {list(names or ['x'])}, got {sorted(rest)}"
            )
        inputs = rest.pop(only[0])
    columns = _as_columns(metadata, len(y), what)
    columns.update(_as_columns(rest, len(y), what))
    return inputs, y, columns


def _checked(
    part: tuple[Any, Array, dict[str, Array]], what: str
) -> tuple[Any, Array, dict[str, Array]]:
    inputs, y, _ = part
    n = _count(inputs, what)
    if n != len(y):
        raise InputError(
            f"{what}: {n} samples, but labels of shape {list(y.shape)}: expected one "
            "for each sample"
        )
    return part


def _part(
    data: Any, names: tuple[str, ...] | None, labels: Any, metadata: Any, what: str
) -> tuple[Any, Array, dict[str, Array]]:
    """Inputs, labels and columns of what is one piece of data."""
    if isinstance(data, Mapping):
        if labels is None or isinstance(labels, str):
            found = _from_named(data, names, labels, metadata, what)
            return _checked(found, what)
        data = (dict(data), labels)
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise InputError(
            f"{what}: expected (x, y), (x, y, metadata), or arrays by name with the "
            f"labels among them, got {type(data).__name__}"
        )
    y = _as_labels(data[1], what)
    more = data[2] if len(data) == 3 else metadata
    columns = _as_columns(more, len(y), what)
    return _checked((data[0], y, columns), what)


def open_data(
    data: Any,
    *,
    names: tuple[str, ...] | None = None,
    labels: Any = None,
    metadata: Any = None,
) -> Data:
    """Take what the user gives as labelled data.

    Parameters
    ----------
    data : tuple, mapping, path or iterable
        (x, y) or (x, y, metadata); arrays by name; an .npz file of these; or an
        iterable of such batches.
    names : tuple of str, optional
        Inputs of the model, where it says.
    labels : str or array-like, optional
        Name of the labels among named arrays, or the labels themselves.
    metadata : mapping of str to array-like, optional
        More columns, one value for each sample.

    Returns
    -------
    data : Data

    Raises
    ------
    InputError
        There is nothing, or the parts do not fit each other.

    Examples
    --------
    >>> data = open_data((np.zeros((5, 2)), [0, 1, 1, 0, 1]))
    >>> [len(batch) for batch in data.batches(2)]
    [2, 2, 1]
    """
    if isinstance(data, str | os.PathLike):
        data = read_npz(data, "data", needs_names="an .npy file holds no labels")
    if isinstance(data, Mapping | tuple):
        part = _part(data, names, labels, metadata, "data")
        if not len(part[1]):
            raise InputError("data: there are no samples")
        return Data([part], len(part[1]), part[1], tuple(part[2]))
    if not isinstance(data, Iterable) or hasattr(data, "__array__"):
        raise InputError(
            "data: expected (x, y), arrays by name with the labels among them, an .npz "
            f"file or an iterable of batches, got {type(data).__name__}"
        )
    if metadata is not None:
        raise InputError(
            "metadata: a stream brings it along: give batches (x, y, metadata)"
        )
    return Data(_stream(data, names, labels))


def _stream(
    data: Iterable[Any], names: tuple[str, ...] | None, labels: Any
) -> Iterator[tuple[Any, Array, dict[str, Array]]]:
    n = 0
    for i, item in enumerate(data):
        part = _part(item, names, labels, None, f"batch {i}")
        n += len(part[1])
        if len(part[1]):
            yield part
    if not n:
        raise InputError("data: there are no samples")
