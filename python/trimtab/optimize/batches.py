"""Data as users have it -> batches that a model takes.

An array holds samples along its first axis; a mapping holds such an array for each
input; anything else that can be iterated gives batch after batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, InputTypeError
from trimtab.record import FrozenRecord
from trimtab.signature import TensorSpec, check_inputs
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["as_batches", "as_samples"]


def as_batches(
    model: Model, data: Any, *, size: int = 32
) -> Iterable[dict[str, Array]]:
    """Cut data into batches that fit the model's inputs.

    Parameters
    ----------
    model : Model
        Whose inputs the data are for.
    data : array, mapping of str to array, tuple of arrays, or iterable of these
        An array (for a model of one input), a mapping by the inputs' names or a
        tuple in their order holds samples along the first axis. A list or another
        iterable holds batches, or single samples without that axis. Inputs with
        nothing to cut (a scalar, a fixed shape that fits) are repeated.
    size : int, default=32
        Samples of a batch where the model does not fix them.

    Returns
    -------
    batches : iterable of dict of str to ndarray
        A list of views, all checked, where `data` is in memory; for iterators a
        generator that checks each batch as it comes.

    Raises
    ------
    InputError
        There are no samples, names or shapes do not fit the signature, or the arrays
        differ in their number of samples.
    InputTypeError
        Something that is no array of numbers.

    Examples
    --------
    >>> batches = as_batches(model, images, size=8)        # doctest: +SKIP
    >>> [batch["image"].shape[0] for batch in batches]     # doctest: +SKIP
    [8, 8, 4]
    """
    if size < 1:
        raise InputError(f"size of a batch: expected at least 1, got {size}")
    specs = model.inputs
    if isinstance(data, (Mapping, tuple)) or _is_array(data) or _is_nested(data):
        return _cut(specs, _named(specs, data), size)
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise InputTypeError(
            f"expected an array, a mapping of names to arrays or an iterable of "
            f"batches, got {type(data).__name__}"
        )
    batches = _each(specs, data)
    if not isinstance(data, Sequence):
        return batches
    checked = list(batches)
    if not checked:
        raise InputError("expected at least one batch, got an empty sequence")
    return checked


def as_samples(model: Model, batch: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Cut a batch into batches of one sample, where that changes no answer.

    A first axis may be time as well as samples, so the model is asked: its outputs for
    two rows must be those for each of them.

    Parameters
    ----------
    model : Model
    batch : mapping of str to ndarray
        As `as_batches` gives it.

    Returns
    -------
    samples : list of dict of str to ndarray
        Views; the batch itself where its rows depend on each other or cannot be told
        apart.

    Examples
    --------
    >>> len(as_samples(model, {"image": images[:32]}))     # doctest: +SKIP
    32
    """
    whole = [dict(batch)]
    cuttings = {spec.name: _cutting(spec, batch[spec.name]) for spec in model.inputs}
    counts = {cut.n or 0 for cut in cuttings.values() if cut.is_free}
    if len(counts) != 1 or max(counts) < 2:
        return whole
    rows = [
        {
            name: cut.piece(row, row + 1) if cut.is_free else cut.array
            for name, cut in cuttings.items()
        }
        for row in range(max(counts))
    ]
    pair = {
        name: cut.piece(0, 2) if cut.is_free else cut.array
        for name, cut in cuttings.items()
    }
    expected = model.run(pair)
    single = [model.run(row) for row in rows[:2]]
    for name, value in expected.items():
        parts = [found[name] for found in single]
        if any(part.ndim == 0 or part.shape[0] != 1 for part in parts):
            return whole
        joined = np.concatenate(parts) if parts[0].shape == parts[1].shape else parts[0]
        if joined.shape != value.shape or not _is_close(joined, value):
            return whole
    return rows


def _is_close(a: Array, b: Array) -> bool:
    """Whether they differ by rounding only: 1e-3 of the largest magnitude."""
    a, b = (x.astype(np.float64) if x.dtype.kind != "c" else x for x in (a, b))
    finite = b[np.isfinite(b)]
    room = 1e-3 * float(np.abs(finite).max()) if finite.size else 0.0
    return bool(np.allclose(a, b, rtol=0.0, atol=room, equal_nan=True))


def _is_array(data: Any) -> bool:
    if isinstance(data, memoryview):
        return True
    return hasattr(data, "__array__") or hasattr(data, "__dlpack__")


def _is_nested(data: Any) -> bool:
    """Whether this is an array as nested lists of numbers."""
    if not isinstance(data, list):
        return False
    while isinstance(data, list) and data:
        data = data[0]
    return isinstance(data, (int, float, np.generic))


def _as_array(spec: TensorSpec, value: Any) -> Array:
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputTypeError(f"input {spec.name!r}: no array: {error}") from error
    if array.dtype.kind not in "biufV" or array.dtype.names is not None:
        raise InputTypeError(
            f"input {spec.name!r}: expected {spec}, got dtype {array.dtype}; a "
            "pipeline turns pictures and texts into arrays"
        )
    if not hasattr(value, "dtype") and array.dtype != spec.numpy_dtype:
        array = array.astype(spec.numpy_dtype)  # numbers have no dtype of their own
    return array


def _named(specs: Sequence[TensorSpec], data: Any) -> dict[str, Array]:
    """The value of each input, as arrays in the signature's order."""
    if isinstance(data, Mapping):
        values = dict(data)
    else:
        parts = data if isinstance(data, tuple) else (data,)
        if len(parts) != len(specs):
            raise InputError(
                f"the model has {len(specs)} inputs, {[spec.name for spec in specs]}, "
                f"got {len(parts)} arrays; pass a mapping of names to arrays (labels "
                "are no inputs)"
            )
        values = {spec.name: part for spec, part in zip(specs, parts, strict=True)}
    known = {spec.name: spec for spec in specs}
    for name in values:
        if name not in known:
            raise InputError(f"the model has no input {name!r}; it has {sorted(known)}")
    for spec in specs:
        if spec.name not in values:
            raise InputError(f"input {spec.name!r} is missing: expected {spec}")
    return {spec.name: _as_array(spec, values[spec.name]) for spec in specs}


class _Cutting(FrozenRecord):
    """How one input is cut: `n` pieces of `step` rows; n is None: repeated whole.

    `is_free`: the model takes any number of pieces at once.
    """

    __slots__ = ("array", "n", "step", "is_free")
    array: Array
    n: int | None
    step: int
    is_free: bool

    def __init__(self, array: Array, n: int | None, step: int, is_free: bool) -> None:
        self._set(array, n, step, is_free)

    def piece(self, first: int, last: int) -> Array:
        """Pieces from `first` to before `last`."""
        if self.n is None:
            return self.array
        if self.step == 0:
            row: Array = self.array[first]
            return row
        return self.array[first * self.step : last * self.step]


def _cutting(spec: TensorSpec, array: Array) -> _Cutting:
    """Compare the array's rank with the signature's, then its first axis."""
    if spec.shape is None:
        return _Cutting(array, array.shape[0] if array.ndim else None, 1, True)
    rank = len(spec.shape)
    if array.ndim == rank + 1:  # a row is what the model takes
        return _Cutting(array, array.shape[0], 0, False)
    if array.ndim == rank - 1 and not isinstance(spec.shape[0], int):
        return _Cutting(array[None], 1, 1, True)  # one sample
    if array.ndim == rank - 1 and spec.shape[0] == 1:
        return _Cutting(array[None], 1, 1, False)
    if array.ndim != rank:
        raise InputError(
            f"input {spec.name!r}: expected samples of {spec}, got shape {array.shape}"
        )
    if rank == 0:
        return _Cutting(array, None, 1, False)
    fixed = spec.shape[0]
    if not isinstance(fixed, int):
        return _Cutting(array, array.shape[0], 1, True)
    if array.shape[0] == fixed:
        return _Cutting(array, None, 1, False)
    if fixed < 1 or array.shape[0] % fixed:
        raise InputError(
            f"input {spec.name!r}: the model takes {fixed} samples at a time, got "
            f"{array.shape[0]}: expected a multiple"
        )
    return _Cutting(array, array.shape[0] // fixed, fixed, False)


def _cut(
    specs: Sequence[TensorSpec], arrays: Mapping[str, Array], size: int
) -> list[dict[str, Array]]:
    cuttings = {spec.name: _cutting(spec, arrays[spec.name]) for spec in specs}
    counts = {name: cut.n for name, cut in cuttings.items() if cut.n is not None}
    if len(set(counts.values())) > 1:
        raise InputError(f"the inputs differ in their number of samples: {counts}")
    n = next(iter(counts.values()), 1)
    if n == 0:
        raise InputError("expected at least one sample, got empty arrays")
    if not all(cut.is_free for cut in cuttings.values() if cut.n is not None):
        size = 1
    return [
        check_inputs(
            specs,
            {
                name: cut.piece(first, min(first + size, n))
                for name, cut in cuttings.items()
            },
        )
        for first in range(0, n, size)
    ]


def _each(
    specs: Sequence[TensorSpec], items: Iterable[Any]
) -> Iterator[dict[str, Array]]:
    """Batches that come one by one; of a sample, a batch of one."""
    for number, item in enumerate(items):
        try:
            arrays = _named(specs, item)
            for spec in specs:
                array = arrays[spec.name]
                if spec.shape is not None and array.ndim == len(spec.shape) - 1:
                    arrays[spec.name] = array[None]
            if any(array.size == 0 for array in arrays.values()):
                raise InputError("an input is empty")
            yield check_inputs(specs, arrays)
        except InputError as error:
            raise type(error)(f"batch {number}: {error}") from error
