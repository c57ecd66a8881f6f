"""Tensors in the middle of a model for any number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["tap_rows"]

# Rows of one run, where the model does not fix them.
_N_ROWS = 64


def tap_rows(model: Model, inputs: Mapping[str, Array], tensor: str) -> Array:
    """Compute a tensor for rows, some at a time.

    Parameters
    ----------
    model : trimtab.Model
    inputs : mapping of str to ndarray
        By the model's names; dim 0 counts rows.
    tensor : str
        One that a node computes, or an input.

    Returns
    -------
    values : ndarray of shape (n, ...)

    Raises
    ------
    InputError
        The tensor has no row for each row of the inputs.

    Examples
    --------
    >>> tap_rows(model, {"x": x}, "pool5").shape           # doctest: +SKIP
    (200, 512)
    """
    n = len(next(iter(inputs.values())))
    sizes = [spec.shape[0] for spec in model.inputs if spec.shape]
    fixed = next((size for size in sizes if isinstance(size, int)), None)
    step = fixed or _N_ROWS
    parts = []
    for begin in range(0, n, step):
        part = {name: array[begin : begin + step] for name, array in inputs.items()}
        n_part = min(step, n - begin)
        if fixed and n_part < fixed:
            part = {name: _filled(x, fixed - n_part) for name, x in part.items()}
        parts.append(_run(model, part, tensor)[:n_part])
    if not parts:
        raise InputError("there are no rows")
    return np.concatenate(parts)


def _filled(array: Array, n: int) -> Array:
    """Fill a fixed batch up with its last row."""
    return np.concatenate([array, np.repeat(array[-1:], n, axis=0)])


def _run(model: Model, inputs: dict[str, Array], tensor: str) -> Array:
    if tensor in inputs:
        return np.asarray(inputs[tensor])
    found: Array = model.taps.run(inputs, [tensor])[tensor]
    n = len(next(iter(inputs.values())))
    if found.shape[:1] != (n,):
        raise InputError(
            f"{tensor!r} has shape {list(found.shape)} for {n} rows: expected one of "
            "its own for each"
        )
    return found
