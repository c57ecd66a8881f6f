"""Tables as users hold them (arrays, dicts of columns, DataFrames) as named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["read_columns", "stack_columns", "take_columns"]

# More features than this are no table that people look at.
MAX_COLUMNS = 512


def take_columns(data: Any, names: Sequence[str] | None = None) -> dict[str, Array]:
    """Take a table as columns by name.

    Parameters
    ----------
    data : ndarray of shape (n_rows, n_features), mapping or DataFrame
        One-dimensional arrays are tables of one column.
    names : sequence of str, optional
        Of an array's columns; ``x0``, ``x1``... by default.

    Returns
    -------
    columns : dict of str to ndarray
        All of the same length.

    Raises
    ------
    InputError
        It is no table, or too wide.

    Examples
    --------
    >>> take_columns([[1, 2], [3, 4]], ["a", "b"])["b"].tolist()
    [2, 4]
    """
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        columns = {str(name): _column(data[name]) for name in _names_of(data)}
    else:
        columns = _of_array(_array(data), names)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"a table: its columns differ in length: {lengths}")
    if not 0 < len(columns) <= MAX_COLUMNS:
        raise InputError(
            f"a table: expected 1 to {MAX_COLUMNS} columns, got {len(columns)}"
        )
    return columns


def read_columns(data: Any, names: Sequence[str]) -> dict[str, Array]:
    """Take traffic as columns, as far as it can be taken.

    Parameters
    ----------
    data : ndarray of shape (n_rows, n_features), mapping or DataFrame
    names : sequence of str
        Of the reference; columns of an array belong to them in this order.

    Returns
    -------
    columns : dict of str to ndarray
        What is there: names may lack, and others come.

    Examples
    --------
    >>> sorted(read_columns([[1, 2, 3]], ["a", "b"]))
    ['a', 'b', 'x2']
    """
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        return {
            str(name): _as_numbers(np.asarray(data[name])) for name in _names_of(data)
        }
    array = np.asarray(data)
    rows = array.reshape(-1, 1) if array.ndim < 2 else array.reshape(len(array), -1)
    more = [f"x{i}" for i in range(len(names), rows.shape[1])]
    return {
        str(name): rows[:, i] for i, name in enumerate([*names, *more][: rows.shape[1]])
    }


def _names_of(data: Any) -> list[Any]:
    return list(data) if isinstance(data, Mapping) else list(data.columns)


def _array(data: Any) -> Array:
    try:
        return np.asarray(data)
    except (TypeError, ValueError) as error:
        raise InputError(f"a table: expected rows of equal length ({error})") from None


def _column(values: Any) -> Array:
    array = _array(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"a table: expected columns, got one of shape {array.shape}")
    return _as_numbers(array)


def _as_numbers(array: Array) -> Array:
    """A column of numbers and of None is one of numbers with NaN."""
    if array.dtype.kind != "O":
        return array
    values = array.tolist()
    if not all(x is None or isinstance(x, int | float) for x in values):
        return array
    return np.array([np.nan if x is None else x for x in values], np.float64)


def _of_array(array: Array, names: Sequence[str] | None) -> dict[str, Array]:
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise InputError(
            f"a table: expected an array of 2 dims, got one of shape {array.shape}"
        )
    named = [f"x{i}" for i in range(array.shape[1])] if names is None else names
    columns = {str(name): array[:, i] for i, name in enumerate(named[: array.shape[1]])}
    if len(columns) != array.shape[1] or len(named) != array.shape[1]:
        raise InputError(
            f"names: expected {array.shape[1]} different ones, got {len(named)}: "
            f"{list(named)[:10]}"
        )
    return columns


def stack_columns(columns: Mapping[str, Array]) -> Array:
    """Put columns side by side.

    Parameters
    ----------
    columns : mapping of str to ndarray

    Returns
    -------
    rows : ndarray of shape (n_rows, n_columns)
        Numbers where all are numbers, else objects.

    Examples
    --------
    >>> import numpy as np
    >>> stack_columns({"a": np.array([1]), "b": np.array(["x"])}).tolist()
    [[1, 'x']]
    """
    arrays = list(columns.values())
    if all(array.dtype.kind in "biuf" for array in arrays):
        return np.stack(arrays, axis=1)
    rows = np.empty((len(arrays[0]), len(arrays)), object)
    for i, array in enumerate(arrays):
        rows[:, i] = array
    return rows
