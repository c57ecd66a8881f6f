"""Training data: arrays with one row for each example, checked before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.graph import Value
from trimtab.types import Array

__all__ = ["as_rows"]


def as_rows(data: Any, values: Sequence[Value], *, what: str) -> list[Array]:
    """Check arrays against declared inputs.

    Parameters
    ----------
    data : array-like, mapping of str to array-like, or tuple of array-like
        One array for a single input, a mapping by name or a tuple in order.
    values : sequence of Value
        What is expected. Integers and floats of another width are converted.
    what : str
        How messages call the data.

    Returns
    -------
    arrays : list of ndarray
        In the order of `values`, all of one number of rows.

    Raises
    ------
    InputError
        An array is missing or empty, has another shape, holds NaN or infinity, or the
        numbers of rows differ.
    InputTypeError
        An array holds no numbers.

    Examples
    --------
    >>> rows = as_rows([[1, 2]], [Value("x", "float32", ("n", 2))], what="inputs")
    >>> rows[0].dtype, rows[0].shape
    (dtype('float32'), (1, 2))
    """
    arrays = [
        _converted(array, value, what)
        for array, value in zip(_listed(data, values, what), values, strict=True)
    ]
    counts = {len(array) for array in arrays}
    if len(counts) != 1:
        raise InputError(f"{what}: arrays of {sorted(counts)} rows, expected as many")
    if counts == {0}:
        raise InputError(f"{what}: there are no rows")
    return arrays


def _listed(data: Any, values: Sequence[Value], what: str) -> list[Any]:
    names = [value.name for value in values]
    if isinstance(data, Mapping):
        if set(data) != set(names):
            raise InputError(f"{what}: got {sorted(data)}, expected {names}")
        return [data[name] for name in names]
    listed = list(data) if isinstance(data, tuple) else [data]
    if len(listed) != len(names):
        raise InputError(f"{what}: got {len(listed)} arrays, expected {names}")
    return listed


def _converted(data: Any, value: Value, what: str) -> Array:
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise InputTypeError(
            f"{what} {value.name!r}: expected numbers, got {array.dtype}"
        )
    if array.ndim == 0:
        raise InputError(f"{what} {value.name!r}: a single number, expected rows")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{what} {value.name!r}: holds NaN or infinity")
    wanted = array.dtype if value.dtype is None else np.dtype(value.dtype)
    if wanted.kind in "iu" and array.dtype.kind == "f":
        raise InputTypeError(
            f"{what} {value.name!r}: expected {wanted}, got {array.dtype}"
        )
    _check_shape(array.shape, value, what)
    return np.ascontiguousarray(array, wanted)


def _check_shape(shape: tuple[int, ...], value: Value, what: str) -> None:
    declared = value.shape
    if declared is None:
        return
    fits = len(declared) == len(shape) and all(
        not isinstance(d, int) or d == n
        for d, n in zip(declared[1:], shape[1:], strict=True)
    )
    if not fits:
        rest = ", ".join(str("?" if d is None else d) for d in declared[1:])
        raise InputError(
            f"{what} {value.name!r}: got the shape {shape}, expected (rows, {rest})"
        )
