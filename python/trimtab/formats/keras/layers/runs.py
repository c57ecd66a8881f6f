"""A recurrent cell over a sequence: one ONNX LSTM, GRU or RNN.

Cells with an activation that those operators do not know become a Loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.cells import Cell
from trimtab.formats.keras.layers.loops import run_loop
from trimtab.formats.keras.layers.steps import make_step, project

__all__ = ["Run", "run_cell", "run_pair", "zero_state"]

_Array: TypeAlias = "np.ndarray[Any, Any]"

# Keras' gates of a kernel in ONNX's order: LSTM i, f, c, o -> i, o, f, c
_GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "RNN": (0,)}

# What ONNX takes where no activations are given.
_DEFAULT_ACTIVATIONS = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "RNN": ["Tanh"],
}


@dataclass(frozen=True)
class Run:
    """One run over a sequence; operators that take its results apart come when asked.

    Parameters
    ----------
    outputs : callable
        Gives those of all steps, of shape (batch, steps, units).
    state : callable
        Gives a state after the last step by its number, of shape (batch, units).
    n_states : int
        How many there are.
    """

    outputs: Callable[[], Tensor]
    state: Callable[[int], Tensor]
    n_states: int

    def states(self) -> list[Tensor]:
        """Give all states.

        Returns
        -------
        states : list of Tensor

        Examples
        --------
        >>> run.states()                                   # doctest: +SKIP
        """
        return [self.state(i) for i in range(self.n_states)]


def run_cell(
    context: LayerContext,
    cell: Cell,
    x: Tensor,
    states: list[Tensor] | None,
    lengths: Tensor | None = None,
) -> Run:
    """Run a cell over a sequence.

    Parameters
    ----------
    context : LayerContext
    cell : Cell
    x : Tensor
        Of shape (batch, steps, features).
    states : list of Tensor or None
        To begin with, of shape (batch, units); None for zeros.
    lengths : Tensor, optional
        Steps of each sequence, int64; without them all steps count. What comes out
        after the last of them is not defined.

    Returns
    -------
    run : Run

    Examples
    --------
    >>> run_cell(context, cell, x, None).outputs()         # doctest: +SKIP
    """
    if cell.operator_activations:
        run = _operator(context, [cell], x, states, lengths)

        def outputs() -> Tensor:
            axis, shape = context.constant([2]), (*x.shape[:2], cell.units)
            return context.op("Squeeze", [run.outputs(), axis], shape=shape)

        return replace(run, outputs=outputs)
    if states is None:
        states = [zero_state(context, x, (cell.units,))] * cell.n_states
    gates = project(context, cell, x)
    step = make_step(context, cell)
    all_steps, found = run_loop(context, gates, states, step, lengths)
    return Run(lambda: all_steps, found.__getitem__, cell.n_states)


def run_pair(
    context: LayerContext,
    forward: Cell,
    backward: Cell,
    x: Tensor,
    states: list[Tensor] | None,
) -> Run:
    """Run twins in both directions with one operator.

    Parameters
    ----------
    context : LayerContext
    forward, backward : Cell
    x : Tensor
        Of shape (batch, steps, features).
    states : list of Tensor or None
        Those of the forward cell, then those of the backward one.

    Returns
    -------
    run : Run
        The outputs are of shape (batch, steps, 2, units), all in the order of time.

    Examples
    --------
    >>> run_pair(context, forward, backward, x, None)      # doctest: +SKIP
    """
    return _operator(context, [forward, backward], x, states, None)


def zero_state(context: LayerContext, x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Give a state of zeros.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
        Whose batch it is for.
    sizes : tuple of int
        The other dims.

    Returns
    -------
    state : Tensor

    Examples
    --------
    >>> zero_state(context, x, (8,)).shape                 # doctest: +SKIP
    ('batch', 8)
    """
    batch = context.op("Shape", [x], shape=(1,), dtype="int64", start=0, end=1)
    rest = context.constant(list(sizes), "int64")
    shape = context.op("Concat", [batch, rest], shape=(1 + len(sizes),), axis=0)
    dims = (x.shape[0], *sizes)
    return context.op("ConstantOfShape", [shape], shape=dims, dtype="float32")


def _operator(
    context: LayerContext,
    cells: list[Cell],
    x: Tensor,
    states: list[Tensor] | None,
    lengths: Tensor | None,
) -> Run:
    """Outputs [batch, steps, directions, units]; states direction by direction."""
    cell, n, batch = cells[0], len(cells), x.shape[0]
    inputs: list[Tensor | str] = [x]
    inputs += [_weights(context, cells, name) for name in ("W", "R", "B")]
    inputs.append("" if lengths is None else context.cast(lengths, "int32"))
    if states is not None:
        inputs += [
            _stack(context, states[i :: cell.n_states]) for i in range(cell.n_states)
        ]
    names = context.ops(
        cell.kind,
        inputs,
        1 + cell.n_states,
        hidden_size=cell.units,
        layout=1,
        **_attributes(cells),
    )
    outputs = Tensor(names[0], "float32", (*x.shape[:2], n, cell.units))
    ends = [Tensor(name, "float32", (batch, n, cell.units)) for name in names[1:]]

    def state(i: int) -> Tensor:
        direction, which = divmod(i, cell.n_states)
        index, shape = context.constant(direction), (batch, cell.units)
        return context.op("Gather", [ends[which], index], shape=shape, axis=1)

    return Run(lambda: outputs, state, n * cell.n_states)


def _stack(context: LayerContext, states: list[Tensor]) -> Tensor:
    """One state of each direction as [batch, directions, units]."""
    batch, units = states[0].shape
    axis, shape = context.constant([1]), (batch, 1, units)
    parts = [context.op("Unsqueeze", [s, axis], shape=shape) for s in states]
    if len(parts) == 1:
        return parts[0]
    return context.op("Concat", parts, shape=(batch, len(parts), units), axis=1)


def _attributes(cells: list[Cell]) -> dict[str, Any]:
    """What differs from ONNX's defaults."""
    kind, found = cells[0].kind, dict[str, Any]()
    if cells[0].reset_after:
        found["linear_before_reset"] = 1
    if len(cells) == 2:
        found["direction"] = "bidirectional"
    functions = [f for cell in cells for f in cell.operator_activations]
    names = [f[0] for f in functions]
    if names == _DEFAULT_ACTIVATIONS[kind] * len(cells):
        return found
    found["activations"] = names
    for name, at in (("activation_alpha", 1), ("activation_beta", 2)):
        given = [f[at] for f in functions if f[at] is not None]
        if given:
            found[name] = given
    return found


def _weights(context: LayerContext, cells: list[Cell], name: str) -> Tensor | str:
    """W, R or B of all directions; "" for a bias that is not there."""
    if name == "B" and cells[0].bias is None:
        return ""
    parts = [_weight(cell, name) for cell in cells]
    return context.made(f"{cells[0].key}{name}", np.stack(parts))


def _weight(cell: Cell, name: str) -> _Array:
    if name != "B":
        kernel = cell.kernel if name == "W" else cell.recurrent
        return np.transpose(_in_order(cell, kernel))
    assert cell.bias is not None
    both = cell.bias if cell.bias.ndim == 2 else np.stack([cell.bias, 0 * cell.bias])
    return np.ravel(_in_order(cell, both))


def _in_order(cell: Cell, weight: _Array) -> _Array:
    """Columns with their gates as ONNX has them."""
    order = _GATE_ORDER[cell.kind]
    gates = np.split(weight, len(order), axis=-1)
    return np.concatenate([gates[i] for i in order], axis=-1)
