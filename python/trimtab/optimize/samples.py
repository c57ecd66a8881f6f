"""Data of the user as samples: one call of the model for each, checked and counted.

Enters: an array, arrays by input, or a list of calls, and maybe labels. Leaves:
`Samples`, whose items can be chosen, told apart by digest, and run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trimtab.errors import InputError
from trimtab.signature import TensorSpec, check_inputs
from trimtab.types import Array

__all__ = [
    "Runnable",
    "Samples",
    "check_calibration",
    "join_samples",
    "run_samples",
    "take_samples",
]

# Samples that one call takes where the model lets the batch vary.
_N_AT_ONCE = 32


class Runnable(Protocol):
    """What of a model is used here."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in graph order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in graph order."""

    def run(self, inputs: Any) -> dict[str, Array]:
        """Run by names.

        Parameters
        ----------
        inputs : mapping of str to ndarray

        Returns
        -------
        results : dict of str to ndarray
        """


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a model's inputs, with labels where there are some.

    Parameters
    ----------
    items : list of dict of str to ndarray
        Inputs of one sample each, as the model is called with them.
    labels : ndarray or None
        As many as items.
    is_batched : bool
        Dim 0 counts samples: items may share a call.
    """

    items: list[dict[str, Array]]
    labels: Array | None = None
    is_batched: bool = True

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.items)

    def take(self, chosen: Sequence[int] | Array) -> Samples:
        """Give some of the samples.

        Parameters
        ----------
        chosen : sequence of int

        Returns
        -------
        samples : Samples
        """
        labels = None if self.labels is None else self.labels[np.asarray(chosen, int)]
        return Samples([self.items[i] for i in chosen], labels, self.is_batched)

    def digests(self) -> list[bytes]:
        """Digest of each sample's inputs: equal samples have equal ones."""
        return [_digest(item) for item in self.items]


def _digest(item: Mapping[str, Array]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(item.items()):
        digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.digest()


# ---- taking -------------------------------------------------------------------------


def take_samples(
    model: Runnable, data: Any, *, what: str, labels: Any = None
) -> Samples:
    """Take what the user gives as samples.

    Parameters
    ----------
    model : Runnable
    data : array, tuple of arrays, mapping of str to array, or iterable of these
        Arrays with a leading dim of samples: for the only input, in graph order or
        by name; or a list of calls as `Model.run` takes them, whose shapes may differ.
    what : str
        What messages call it: "calibration", "validation".
    labels : array-like, optional
        One for each sample.

    Returns
    -------
    samples : Samples

    Raises
    ------
    InputError
        There are none, or they fit neither the model nor each other.

    Examples
    --------
    >>> take_samples(model, x, what="calibration")         # doctest: +SKIP
    Samples(items=[{'image': array(...)}, ...], ...)
    """
    if isinstance(data, Samples):
        return data
    if isinstance(data, Mapping | tuple) or hasattr(data, "__array__"):
        items, is_batched = _split(model, data, what)
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        items, is_batched = [], True
        for call in data:
            more, is_split = _split(model, call, what)
            items += more
            is_batched &= is_split
    else:
        raise InputError(
            f"{what}: expected arrays, arrays by input, or a list of calls, got "
            f"{type(data).__name__}"
        )
    if not items:
        raise InputError(f"{what}: there are no samples")
    _check_first(model, items[0], what)
    found = None if labels is None else np.asarray(labels)
    if found is not None and (found.ndim == 0 or len(found) != len(items)):
        raise InputError(
            f"{what}: {len(items)} samples, but labels of shape {found.shape}: "
            "expected one for each sample"
        )
    _check_finite(items, found, what)
    return Samples(items, found, is_batched)


def _named(model: Runnable, data: Any, what: str) -> dict[str, Array]:
    """Arrays by input."""
    names = [spec.name for spec in model.inputs]
    if isinstance(data, Mapping):
        given = dict(data)
    else:
        values = data if isinstance(data, tuple) else (data,)
        if len(values) != len(names):
            raise InputError(
                f"{what}: the model has {len(names)} inputs {names}, got {len(values)}"
            )
        given = dict(zip(names, values, strict=True))
    if set(given) != set(names):
        raise InputError(f"{what}: the inputs are {names}, got {sorted(given)}")
    arrays = {}
    for spec in model.inputs:
        array = np.asarray(given[spec.name])
        if array.dtype == object:
            raise InputError(f"{what}: {spec.name!r} is ragged: give a list of calls")
        arrays[spec.name] = array
    return arrays


def _split(
    model: Runnable, data: Any, what: str
) -> tuple[list[dict[str, Array]], bool]:
    """One dict of inputs for each sample, and whether dim 0 counts samples."""
    arrays = _named(model, data, what)
    shared = {spec.name: arrays[spec.name] for spec in model.inputs if spec.shape == ()}
    split = {name: a for name, a in arrays.items() if name not in shared}
    counts = {name: len(a) if a.ndim else 0 for name, a in split.items()}
    n = min(counts.values(), default=0)
    if len(set(counts.values())) > 1:
        raise InputError(f"{what}: inputs of different numbers of samples: {counts}")
    if n == 0:
        raise InputError(f"{what}: there are no samples")
    extra = {
        spec.name: spec.shape is not None
        and arrays[spec.name].ndim == len(spec.shape) + 1
        for spec in model.inputs
        if spec.name in split
    }
    if any(extra.values()) and not all(extra.values()):
        raise InputError(f"{what}: only some inputs have a dim of samples: {extra}")
    if all(extra.values()):  # each sample is a call of its own shape
        return [
            {**shared, **{k: a[i] for k, a in split.items()}} for i in range(n)
        ], False
    return [
        {**shared, **{k: a[i : i + 1] for k, a in split.items()}} for i in range(n)
    ], True


def _check_first(model: Runnable, item: Mapping[str, Array], what: str) -> None:
    """Do the shapes and dtypes fit? A fixed batch is filled up when running."""
    given = dict(item)
    for spec in model.inputs:
        size = spec.shape[0] if spec.shape else None
        array = given[spec.name]
        if isinstance(size, int) and size > 1 and array.ndim == len(spec.shape or ()):
            given[spec.name] = np.repeat(array[:1], size, axis=0)
    try:
        check_inputs(model.inputs, given)
    except InputError as error:
        raise type(error)(f"{what}: {error}") from error


def _check_finite(
    items: Sequence[Mapping[str, Array]], labels: Array | None, what: str
) -> None:
    """Refuse NaN and infinities."""
    for i, item in enumerate(items):
        for name, array in item.items():
            if array.dtype.kind in "fc" and not np.isfinite(array).all():
                raise InputError(
                    f"{what}: sample {i}, input {name!r} holds NaN or infinity"
                )
    if labels is not None and labels.dtype.kind == "f":
        bad = ~np.isfinite(labels).reshape(len(labels), -1).all(axis=1)
        if bad.any():
            raise InputError(
                f"{what}: label {int(bad.argmax())} is {labels[bad.argmax()]}"
            )


def check_calibration(samples: Samples) -> None:
    """Refuse calibration data that says nothing about the ranges of tensors.

    Parameters
    ----------
    samples : Samples

    Raises
    ------
    InputError
        Every float input is one and the same number everywhere.

    Examples
    --------
    >>> check_calibration(Samples([{"x": np.array([[0.0, 1.0]])}]))
    """
    floats = [n for n, a in samples.items[0].items() if a.dtype.kind == "f" and a.ndim]
    for name in floats:
        first = samples.items[0][name].flat[0] if samples.items[0][name].size else None
        if any((item[name] != first).any() for item in samples.items):
            return
    if floats:
        raise InputError(
            f"calibration: input {floats[0]!r} is {first} in all of {len(samples)} "
            "samples: expected data as the model will see it"
        )


# ---- running ------------------------------------------------------------------------


def run_samples(
    model: Runnable,
    samples: Samples,
    *,
    output: str | None = None,
) -> Array:
    """Run the model on every sample.

    Parameters
    ----------
    model : Runnable
    samples : Samples
    output : str, optional
        Which output to give; the first one by default.

    Returns
    -------
    outputs : ndarray
        Dim 0 counts samples. An array of objects where their shapes differ.

    Raises
    ------
    InputError
        The model does not give one row for each sample.

    Examples
    --------
    >>> run_samples(model, samples).shape                  # doctest: +SKIP
    (500, 10)
    """
    name = output or model.outputs[0].name
    rows: list[Array] = []
    for call in _calls(model, samples):
        n = len(call)
        result = model.run(join_samples(model, samples.take(call)))[name]
        if not samples.is_batched:
            rows.append(np.array(result))
        elif result.ndim == 0 or len(result) < n:
            raise InputError(
                f"output {name!r} has shape {result.shape} for {n} samples: expected a "
                "leading dim of samples"
            )
        else:
            rows += [np.array(row) for row in result[:n]]
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged


def _calls(model: Runnable, samples: Samples) -> Iterable[list[int]]:
    """Numbers of the samples that share a call."""
    size = _batch_size(model) if samples.is_batched else 1
    call: list[int] = []
    shape: Any = None
    for i, item in enumerate(samples.items):
        here = [array.shape for array in item.values()]
        if call and (here != shape or len(call) == size):
            yield call
            call = []
        call.append(i)
        shape = here
    if call:
        yield call


def _batch_size(model: Runnable) -> int:
    """Samples that one call takes."""
    sizes = {spec.shape[0] if spec.shape else None for spec in model.inputs}
    fixed = [size for size in sizes if isinstance(size, int)]
    if fixed:
        return fixed[0]
    # A model that does not say what it takes gets one at a time.
    is_open = all(spec.shape is not None for spec in model.inputs)
    return _N_AT_ONCE if is_open else 1


def join_samples(model: Runnable, samples: Samples) -> dict[str, Array]:
    """Give the inputs of one call for some samples.

    Parameters
    ----------
    model : Runnable
    samples : Samples
        Of one shape. Only the first counts where samples cannot share a call; a fixed
        batch is filled up with the last one.

    Returns
    -------
    inputs : dict of str to ndarray

    Examples
    --------
    >>> join_samples(model, samples.take([0, 1]))          # doctest: +SKIP
    {'image': array(...)}
    """
    items = samples.items
    if not samples.is_batched:
        return items[0]
    sizes = {spec.name: spec.shape[0] for spec in model.inputs if spec.shape}
    inputs = {}
    for name, array in items[0].items():
        if array.ndim == 0:
            inputs[name] = array
            continue
        rows = [item[name] for item in items if item[name].shape == array.shape]
        size = sizes.get(name)
        if isinstance(size, int):
            rows = rows[:size] + [rows[-1]] * (size - len(rows))
        inputs[name] = np.concatenate(rows) if len(rows) > 1 else rows[0]
    return inputs
