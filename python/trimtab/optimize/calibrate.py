"""Running a model over data, and what its tensors looked like.

Tensors are fetched in groups that fit into a bounded amount of memory and looked at one
by one; only statistics stay. So the memory it takes depends on one batch, not on the
number of batches.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import CalibrationWarning, InputError
from trimtab.optimize.batches import as_batches, as_samples
from trimtab.optimize.statistics import TensorStatistics
from trimtab.types import Array, numpy_dtype

if TYPE_CHECKING:
    from trimtab import _core
    from trimtab.model import Model

__all__ = ["calibrate"]

_Shapes = tuple[tuple[int, ...], ...]


def calibrate(
    model: Model,
    batches: Any,
    tensors: Sequence[str],
    *,
    channels: Sequence[str] | Mapping[str, int] = (),
    progress: Callable[[int, int | None], None] | None = None,
    run_bytes: int = 16 << 20,
) -> dict[str, TensorStatistics]:
    """Collect statistics of tensors while the model runs over data.

    Parameters
    ----------
    model : Model
        It runs as it is, in the precision that it has.
    batches : iterable of mapping of str to array
        Inputs by name, or whatever `as_batches` takes, then one sample at a time. A
        batch whose tensors need more than `run_bytes` is cut into samples too, if
        their answers do not depend on each other.
    tensors : sequence of str
        Names of inputs, or of tensors that nodes compute (`Model.taps`).
    channels : sequence of str, or mapping of str to int, optional
        Tensors whose channels have statistics too, by name the axis of the channels;
        without it axis 1 of tensors of four dims or more, else the last.
    progress : callable, optional
        Called as ``progress(n_done, n_batches)`` after each batch; `n_batches` is
        None when it is not known. An exception that it raises ends the calibration.
    run_bytes : int, default=16 MiB
        Bytes of tensors that one run fetches. When those of one sample need more, it
        is run several times.

    Returns
    -------
    statistics : dict of str to TensorStatistics
        For each name, in the order given.

    Raises
    ------
    InputError
        A name that the model has not, no batches, batches that do not fit the model's
        inputs, or a tensor without a single finite value.

    Warns
    -----
    CalibrationWarning
        Tensors that are constant or hold NaN or infinities, by name.

    Examples
    --------
    >>> found = calibrate(model, images, ["image", "conv1"])   # doctest: +SKIP
    >>> found["conv1"].maximum                                  # doctest: +SKIP
    6.0
    """
    names = tuple(dict.fromkeys(tensors))
    _check_names(model, names, "tensors")
    _check_names(model, channels, "channels")
    if stray := [name for name in channels if name not in names]:
        raise InputError(f"channels: {stray[0]!r} is not among the tensors")
    collector = _Collector(names, channels)
    runner = _Runner(model, names, run_bytes)
    prepared = as_batches(model, batches, size=1)
    total = len(prepared) if isinstance(prepared, Sequence) else None
    n_done = 0
    try:
        for batch in prepared:
            _check_values(model, batch)
            for part in runner.parts(batch):
                for name, value in runner.values(part):
                    collector.add(name, value)
            n_done += 1
            if progress is not None:
                progress(n_done, total)
    finally:
        runner.close()
    if n_done == 0:
        raise InputError("expected at least one batch, got none")
    collector.finish()
    return collector.statistics


def _check_names(model: Model, names: Iterable[str], what: str) -> None:
    known = {*(spec.name for spec in model.inputs), *model.taps}
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    near = [name for name in known if unknown[0].lower() in name.lower()]
    hint = f"; near: {sorted(near)[:5]}" if near else ""
    raise InputError(
        f"{what}: the model has no tensor {unknown[0]!r} that is an input or that a "
        f"node computes{hint}"
    )


def _check_values(model: Model, batch: Mapping[str, Array]) -> None:
    """Refuse an input of nothing but NaN before anything is run on it."""
    for spec in model.inputs:
        value = batch[spec.name]
        if value.dtype.kind == "f" and value.size and not np.isfinite(value).any():
            raise InputError(
                f"input {spec.name!r}: all of its {value.size} values are NaN or "
                "infinite"
            )


class _Collector:
    """Statistics by name."""

    def __init__(
        self, names: Sequence[str], channels: Sequence[str] | Mapping[str, int]
    ) -> None:
        self._names = names
        self._channels = channels
        self._made: dict[str, TensorStatistics] = {}

    def add(self, name: str, value: Array) -> None:
        made = self._made.get(name)
        if made is None:
            made = TensorStatistics(name, axis=self._axis(name, value.ndim))
            self._made[name] = made
        try:
            made.update(value)
        except InputError as error:
            raise type(error)(f"tensor {name!r}: {error}") from error

    def _axis(self, name: str, rank: int) -> int | None:
        if name not in self._channels:
            return None
        if isinstance(self._channels, Mapping):
            return self._channels[name]
        return 1 if rank >= 4 else -1

    @property
    def statistics(self) -> dict[str, TensorStatistics]:
        return {name: self._made[name] for name in self._names}

    def finish(self) -> None:
        """Refuse tensors without a value, warn of those that are suspicious."""
        found = self.statistics.values()
        empty = [s for s in found if s.n == 0]
        if empty:
            kind = (
                f"all of its {empty[0].n_nonfinite} values are NaN or infinite"
                if empty[0].n_nonfinite
                else "it has no values"
            )
            more = f" ({len(empty) - 1} more like it)" if len(empty) > 1 else ""
            raise InputError(f"tensor {empty[0].name!r}: {kind}{more}")
        _warn("hold NaN or infinities", [s.name for s in found if s.n_nonfinite])
        constant = [s.name for s in found if s.minimum == s.maximum]
        _warn("have the same value everywhere", constant)


def _warn(what: str, names: Sequence[str]) -> None:
    if not names:
        return
    listed = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    warnings.warn(
        f"{len(names)} of the calibrated tensors {what}: {listed}",
        CalibrationWarning,
        stacklevel=4,
    )


class _Runner:
    """Values of tensors, a group of them in each run."""

    def __init__(self, model: Model, names: Sequence[str], run_bytes: int) -> None:
        inputs = {spec.name for spec in model.inputs}
        self._model = model
        self._given = [name for name in names if name in inputs]
        self._computed = tuple(name for name in names if name not in inputs)
        self._run_bytes = run_bytes
        self._shapes: _Shapes = ()
        self._too_large: set[_Shapes] = set()
        self._programs: list[_core.Program] = []

    def parts(self, batch: Mapping[str, Array]) -> list[dict[str, Array]]:
        """The batch, or its samples where a run cannot fetch all of its tensors."""
        shapes = self._shapes_of(batch)
        if self._computed and shapes not in self._too_large:
            self._prepare(batch)
            if len(self._programs) > 1:
                self._too_large.add(shapes)
        if shapes in self._too_large:
            return as_samples(self._model, batch)
        return [dict(batch)]

    def values(self, batch: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Name and value of every tensor; a value is not kept once it was given."""
        for name in self._given:
            yield name, batch[name]
        if not self._computed:
            return
        arguments = self._prepare(batch)
        for program in self._programs:
            found = list(program.run(*arguments))
            for name in reversed(program.output_names):
                yield name, found.pop()
            if len(self._programs) > 1:
                program.trim()  # so that only one has working memory

    def _prepare(self, batch: Mapping[str, Array]) -> list[Array]:
        """Programs for a batch of this shape; its arguments."""
        arguments = [batch[spec.name] for spec in self._model.inputs]
        shapes = self._shapes_of(batch)
        if not self._programs or shapes != self._shapes:
            self._programs = self._group(arguments)
            self._shapes = shapes
        return arguments

    def close(self) -> None:
        """Let go of the programs, and give their working memory back."""
        self._programs = []
        self._model.trim()

    def _shapes_of(self, batch: Mapping[str, Array]) -> _Shapes:
        return tuple(batch[spec.name].shape for spec in self._model.inputs)

    def _group(self, arguments: Sequence[Array]) -> list[_core.Program]:
        """Programs for groups of tensors that fit into one run."""
        self._programs = []  # one shape's plans at a time
        whole = self._model.core.program(self._computed)
        sizes = _sizes(whole.dump(*arguments))
        groups: list[list[str]] = [[]]
        n_bytes = 0
        for name in self._computed:
            needed = sizes.get(name) or self._run_bytes // 4
            if groups[-1] and n_bytes + needed > self._run_bytes:
                groups.append([])
                n_bytes = 0
            groups[-1].append(name)
            n_bytes += needed
        if len(groups) == 1:
            return [whole]
        return [self._model.core.program(tuple(group)) for group in groups]


def _sizes(dump: str) -> dict[str, int]:
    """Bytes of each value of a plan, where its shape is known before it runs."""
    sizes = {}
    for value in json.loads(dump)["values"]:
        shape, dtype = value.get("shape"), value.get("dtype")
        if shape is None or dtype is None:
            continue
        if all(isinstance(dim, int) and dim >= 0 for dim in shape):
            sizes[value["name"]] = math.prod(shape) * numpy_dtype(dtype).itemsize
    return sizes
