"""Running a model over data that users hold: batch by batch, by names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trimtab.errors import InputError
from trimtab.signature import TensorSpec
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.monitor.monitor import Monitor

__all__ = [
    "Runnable",
    "named_inputs",
    "named_outputs",
    "observe_batches",
    "run_batches",
]

Tensors = dict[str, Array]


class Runnable(Protocol):
    """What is needed of a model."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in graph order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in graph order."""

    def run(self, inputs: Any, *, outputs: Sequence[str] | None = None) -> Tensors:
        """Run by names.

        Parameters
        ----------
        inputs : dict of str to ndarray
        outputs : sequence of str, optional
            Outputs and tensors in the middle; the outputs by default.

        Returns
        -------
        outputs : dict of str to ndarray
        """


def _named(specs: Sequence[TensorSpec], value: Any, what: str) -> Tensors:
    names = [spec.name for spec in specs]
    if isinstance(value, Mapping):
        given = {str(name): np.asarray(array) for name, array in value.items()}
        unknown = [name for name in given if name not in names]
        if not unknown:
            return given
        raise InputError(
            f"the model has no {what} {unknown[0]!r}; it has {names}: give arrays by "
            "their names"
        )
    values = value if isinstance(value, tuple) else (value,)
    if len(values) != len(names):
        raise InputError(
            f"the model has {len(names)} {what}s {names}, got {len(values)}"
        )
    return {name: np.asarray(array) for name, array in zip(names, values, strict=True)}


def named_inputs(model: Runnable, inputs: Any) -> Tensors:
    """Give inputs by name.

    Parameters
    ----------
    model : Runnable
    inputs : array, tuple of arrays, or mapping of str to array
        A mapping need not hold all.

    Returns
    -------
    arrays : dict of str to ndarray

    Raises
    ------
    InputError
        The model has no such input, or another number of them.

    Examples
    --------
    >>> named_inputs(model, x)                             # doctest: +SKIP
    {'x': array(...)}
    """
    return _named(model.inputs, inputs, "input")


def named_outputs(model: Runnable, outputs: Any) -> Tensors:
    """Give outputs by name.

    Parameters
    ----------
    model : Runnable
    outputs : array, tuple of arrays, or mapping of str to array
        What calling the model returns, or `run`.

    Returns
    -------
    arrays : dict of str to ndarray

    Raises
    ------
    InputError
        The model has no such output, or another number of them.

    Examples
    --------
    >>> named_outputs(model, model(x))                     # doctest: +SKIP
    {'probs': array(...)}
    """
    return _named(model.outputs, outputs, "output")


def run_batches(
    model: Runnable, data: Any, batch_size: int = 256, *, also: Sequence[str] = ()
) -> Iterator[tuple[Tensors, Tensors]]:
    """Run a model over data.

    Parameters
    ----------
    model : Runnable
    data : array, tuple of arrays, mapping of str to array, or iterable of these
        With a row for each sample; an iterable gives batches.
    batch_size : int, default=256
        Rows of a call, where the model takes any number.
    also : sequence of str, optional
        Tensors of the middle to give among the outputs.

    Returns
    -------
    batches : iterator of (dict of str to ndarray, dict of str to ndarray)
        Inputs and outputs of each, by name.

    Raises
    ------
    InputError
        The data do not fit the model.

    Examples
    --------
    >>> for inputs, outputs in run_batches(model, x):      # doctest: +SKIP
    ...     print(len(outputs["probs"]))
    256
    """
    is_one = isinstance(data, Mapping | tuple) or hasattr(data, "__array__")
    if not is_one and (not isinstance(data, Iterable) or isinstance(data, str | bytes)):
        raise InputError(
            "data: expected arrays, arrays by input, or batches of these, got "
            f"{type(data).__name__}"
        )
    for call in [data] if is_one else data:
        yield from _parts(model, named_inputs(model, call), batch_size, also)


def observe_batches(
    monitor: Monitor, model: Runnable, data: Any, labels: Array | None = None
) -> None:
    """Run a model over data, and let a monitor see it as traffic.

    Parameters
    ----------
    monitor : Monitor
    model : Runnable
    data : array, tuple of arrays, mapping of str to array, or iterable of these
        As `run_batches` takes them.
    labels : ndarray, optional
        One for each row.

    Raises
    ------
    InputError
        The data do not fit the model.

    Examples
    --------
    >>> observe_batches(monitor, model, x, y)              # doctest: +SKIP
    """
    start = 0
    for inputs, outputs in run_batches(model, data):
        stop = start + max((len(y) for y in outputs.values() if y.ndim), default=0)
        y = None if labels is None else labels[start:stop]
        monitor.observe(inputs, outputs, y_true=y)
        start = stop


def _parts(
    model: Runnable, inputs: Tensors, batch_size: int, also: Sequence[str]
) -> Iterator[tuple[Tensors, Tensors]]:
    shared = {spec.name for spec in model.inputs if spec.shape == ()}
    split = {name: x for name, x in inputs.items() if name not in shared}
    constant = {name: x for name, x in inputs.items() if name in shared}
    lengths = {name: len(x) if x.ndim else 0 for name, x in split.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"data: inputs of different numbers of rows: {lengths}")
    first = {spec.shape[0] for spec in model.inputs if spec.shape}
    fixed = [size for size in first if isinstance(size, int)]
    is_open = all(spec.shape is not None for spec in model.inputs)
    size = fixed[0] if fixed else (max(batch_size, 1) if is_open else 1)
    n_rows = next(iter(lengths.values()))
    more = {"outputs": _outputs(model, also)} if also else {}
    for start in range(0, n_rows, size):
        part = {name: x[start : start + size] for name, x in split.items()}
        n_here = min(size, n_rows - start)
        filled = part
        if fixed and n_here < size:  # the last row stands in for those that lack
            at = np.minimum(np.arange(size), n_here - 1)
            filled = {name: x[at] for name, x in part.items()}
        found = model.run({**filled, **constant}, **more)
        cut = {name: y[:n_here] if y.ndim else y for name, y in found.items()}
        yield {**part, **constant}, cut


def _outputs(model: Runnable, also: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*(spec.name for spec in model.outputs), *also]))
