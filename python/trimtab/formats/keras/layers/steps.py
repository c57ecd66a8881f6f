"""One step of a recurrent cell, by its definition, for the body of a Loop."""

from __future__ import annotations

import numpy as np

from trimtab.formats.keras.config import Function
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.activations import activate
from trimtab.formats.keras.layers.cells import Cell
from trimtab.formats.keras.layers.loops import Step

__all__ = ["lstm_state", "make_step", "project"]


def project(context: LayerContext, cell: Cell, x: Tensor) -> Tensor:
    """Compute what the sequence gives to the gates, for all steps at once.

    Parameters
    ----------
    context : LayerContext
    cell : Cell
    x : Tensor
        Of shape (batch, steps, features).

    Returns
    -------
    gates : Tensor
        Of shape (batch, steps, gates units).

    Examples
    --------
    >>> project(context, cell, x)                          # doctest: +SKIP
    """
    kernel = context.made(f"{cell.key}kernel", cell.kernel)
    shape = (*x.shape[:2], cell.kernel.shape[1])
    gates = context.op("MatMul", [x, kernel], shape=shape)
    if cell.bias is None:
        return gates
    inner = cell.bias[0] if cell.bias.ndim == 2 else cell.bias
    return context.op("Add", [gates, context.made(f"{cell.key}bias", inner)])


def make_step(context: LayerContext, cell: Cell) -> Step:
    """Give the step of a cell; its constants go to the graph around the loop.

    Parameters
    ----------
    context : LayerContext
    cell : Cell

    Returns
    -------
    step : callable
        Takes what `project` gave for a step.

    Examples
    --------
    >>> make_step(context, cell)                           # doctest: +SKIP
    """
    if cell.kind == "LSTM":
        return _lstm(context, cell)
    if cell.kind == "GRU":
        return _gru_after(context, cell) if cell.reset_after else _gru(context, cell)
    recurrent = context.made(f"{cell.key}recurrent_kernel", cell.recurrent)

    def step(body: LayerContext, z: Tensor, states: list[Tensor]) -> list[Tensor]:
        inner = body.op("MatMul", [states[0], recurrent], shape=z.shape)
        return [activate(body, body.op("Add", [z, inner]), cell.activation)]

    return step


def lstm_state(
    body: LayerContext,
    z: Tensor,
    c: Tensor,
    activation: Function | None,
    gate: Function | None,
) -> list[Tensor]:
    """Give the next state of an LSTM.

    Parameters
    ----------
    body : LayerContext
    z : Tensor
        The gates i, f, c, o before their activation, along axis 1.
    c : Tensor
        The carry.
    activation, gate : Function or None

    Returns
    -------
    states : list of Tensor
        h and c.

    Examples
    --------
    >>> lstm_state(body, z, c, tanh, sigmoid)              # doctest: +SKIP
    """
    names = body.ops("Split", [z], 4, axis=1, num_outputs=4)
    i, f, g, o = [Tensor(name, z.dtype, c.shape) for name in names]
    kept = body.op("Mul", [activate(body, f, gate), c])
    new = body.op("Mul", [activate(body, i, gate), activate(body, g, activation)])
    c = body.op("Add", [kept, new])
    h = body.op("Mul", [activate(body, o, gate), activate(body, c, activation)])
    return [h, c]


def _lstm(context: LayerContext, cell: Cell) -> Step:
    recurrent = context.made(f"{cell.key}recurrent_kernel", cell.recurrent)

    def step(body: LayerContext, z: Tensor, states: list[Tensor]) -> list[Tensor]:
        inner = body.op("MatMul", [states[0], recurrent], shape=z.shape)
        z = body.op("Add", [z, inner])
        return lstm_state(body, z, states[1], cell.activation, cell.gate)

    return step


def _split(body: LayerContext, z: Tensor, n: int, units: int) -> list[Tensor]:
    names = body.ops("Split", [z], n, axis=1, num_outputs=n)
    return [Tensor(name, z.dtype, (z.shape[0], units)) for name in names]


def _mix(body: LayerContext, z: Tensor, h: Tensor, new: Tensor) -> list[Tensor]:
    """z h + (1 - z) new = new + z (h - new)."""
    difference = body.op("Mul", [z, body.op("Sub", [h, new])])
    return [body.op("Add", [new, difference])]


def _gru_after(context: LayerContext, cell: Cell) -> Step:
    """The reset gate scales the product."""
    recurrent = context.made(f"{cell.key}recurrent_kernel", cell.recurrent)
    bias = None
    if cell.bias is not None:
        bias = context.made(f"{cell.key}recurrent_bias", cell.bias[1])

    def step(body: LayerContext, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        h = states[0]
        inner = body.op("MatMul", [h, recurrent], shape=x.shape)
        if bias is not None:
            inner = body.op("Add", [inner, bias])
        xs, hs = (_split(body, part, 3, cell.units) for part in (x, inner))
        z = activate(body, body.op("Add", [xs[0], hs[0]]), cell.gate)
        r = activate(body, body.op("Add", [xs[1], hs[1]]), cell.gate)
        new = body.op("Add", [xs[2], body.op("Mul", [r, hs[2]])])
        return _mix(body, z, h, activate(body, new, cell.activation))

    return step


def _gru(context: LayerContext, cell: Cell) -> Step:
    """The reset gate scales the state before the product."""
    gates, candidate = np.split(cell.recurrent, [2 * cell.units], axis=1)
    of_gates = context.made(f"{cell.key}recurrent_gates", gates)
    of_new = context.made(f"{cell.key}recurrent_new", candidate)

    def step(body: LayerContext, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        h = states[0]
        shape = (x.shape[0], 2 * cell.units)
        xs = _split(body, x, 3, cell.units)
        inner = body.op("MatMul", [h, of_gates], shape=shape)
        hs = _split(body, inner, 2, cell.units)
        z = activate(body, body.op("Add", [xs[0], hs[0]]), cell.gate)
        r = activate(body, body.op("Add", [xs[1], hs[1]]), cell.gate)
        inner = body.op("MatMul", [body.op("Mul", [r, h]), of_new], shape=h.shape)
        new = body.op("Add", [xs[2], inner])
        return _mix(body, z, h, activate(body, new, cell.activation))

    return step
