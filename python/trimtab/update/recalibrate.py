"""The safest update: the same answers, with probabilities that hold.

A temperature; where old rows tell what the shares of the classes were, new shares too;
of numbers a shift or a line. Needs no dense layer, and takes quantised models as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.update.calibrate import (
    fit_line,
    fit_shares,
    fit_temperature,
    log_loss,
    log_softmax,
    shift_of,
)
from trimtab.update.calibrated import find_end, with_calibration
from trimtab.update.context import Candidate
from trimtab.update.tapped import tap_rows
from trimtab.update.targets import is_classes, is_sigmoid, targets_of

if TYPE_CHECKING:
    from trimtab.types import Array
    from trimtab.update.context import LearnContext, Rows

__all__ = ["learn"]

# Probabilities below count as this where their logarithm is taken.
_LEAST = 1e-30


def learn(context: LearnContext) -> Candidate:
    """Calibrate a model for new rows.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    InputError
        The model gives neither scores of classes nor numbers.
    UnsupportedOpError
        There is no place in the graph for it.

    Examples
    --------
    >>> learn(context).detail["temperature"]               # doctest: +SKIP
    6.78
    """
    begin = time.perf_counter()
    made = _of_classes if is_classes(context.task) else _of_numbers
    factor, shift, detail = made(context)
    outputs = context.answers(context.fit)
    graph = with_calibration(
        context.graph,
        _output(context),
        factor,
        shift,
        dtype=outputs.dtype.name,
        rank=outputs.ndim,
        class_axis=_axis(context, outputs.ndim),
        is_probability=context.task.output == "probabilities",
    )
    model = context.build(graph)
    return Candidate(model, "recalibrate", detail, time.perf_counter() - begin)


def _output(context: LearnContext) -> str:
    return context.output or context.graph.graph.outputs[0].name


def _axis(context: LearnContext, rank: int) -> int:
    axis = context.task.class_axis
    return -1 if axis == rank - 1 else axis


def _of_numbers(context: LearnContext) -> tuple[Array, Array, dict[str, Any]]:
    outputs = context.answers(context.fit)
    values = outputs.reshape(len(outputs), -1)
    truth = targets_of(context.task, context.fit.labels, values.shape[1])
    factor, shift, what = fit_line(values, truth)
    size = outputs.shape[-1] if outputs.ndim == 2 else 1
    if size != values.shape[1]:  # one line for all numbers of a row
        factor, shift, what = fit_line(values.reshape(-1, 1), truth.reshape(-1, 1))
    return factor, shift, {"what": what, "factor": factor.mean(), "shift": shift.mean()}


def _of_classes(context: LearnContext) -> tuple[Array, Array, dict[str, Any]]:
    activation = find_end(context.graph, _output(context)).activation
    is_own = is_sigmoid(context.task, activation)
    z, targets = _problem(context, context.fit, is_own)
    temperature = fit_temperature(z, targets, is_sigmoid=is_own)
    choices = {"temperature": np.zeros(z.shape[1])}
    if context.replay is not None and not is_own:
        choices["temperature and shares"] = _shares(context, z, temperature)
    z_select, t_select = _problem(context, context.select, is_own)

    def loss(shift: Array, factor: float = 1 / temperature) -> float:
        return log_loss(z_select * factor + shift, t_select, is_sigmoid=is_own)

    what = min(choices, key=lambda name: loss(choices[name]))
    shift = choices[what]
    before = loss(np.zeros(z.shape[1]), 1.0)
    detail = {
        "what": what,
        "temperature": temperature,
        "log_loss": loss(shift),
        "log_loss_before": before,
    }
    return np.asarray(1 / temperature), shift, detail


def _shares(context: LearnContext, z: Array, temperature: float) -> Array:
    """What the shares of the classes among new rows add, given those among old ones."""
    assert context.replay is not None
    k = z.shape[1]
    probabilities = np.exp(log_softmax(z / temperature))
    even = np.full(k, 1 / k)
    old_codes = np.asarray(context.replay.labels, np.int64).reshape(-1)
    old = fit_shares(np.empty((len(old_codes), k)), even, codes=old_codes)
    codes = np.asarray(context.fit.labels, np.int64).reshape(-1)
    return shift_of(old, fit_shares(probabilities, old, codes=codes))


def _problem(context: LearnContext, rows: Rows, is_own: bool) -> tuple[Array, Array]:
    """Logits and targets, (n, k); of pixels each is a row."""
    task, outputs = context.task, context.answers(rows)
    end = find_end(context.graph, _output(context))
    if end.activation == "none":
        z = _logits(outputs, task.output == "probabilities", is_own)
    else:
        z = _tapped(context, rows, end.logits, outputs.shape)
    if is_own:
        z = z.reshape(len(z), -1)
        return z, targets_of(task, rows.labels, z.shape[1])
    z = np.moveaxis(z, task.class_axis, -1).reshape(-1, z.shape[task.class_axis])
    return z, targets_of(task, rows.labels, z.shape[1])


def _logits(outputs: Array, is_probability: bool, is_own: bool) -> Array:
    z = np.asarray(outputs, np.float64)
    if not is_probability:
        return z
    logs = np.log(np.maximum(z, _LEAST))
    return logs - np.log(np.maximum(1 - z, _LEAST)) if is_own else logs


def _tapped(
    context: LearnContext, rows: Rows, tensor: str, shape: tuple[int, ...]
) -> Array:
    """Logits before the activation: probabilities of 0 and 1 would hide them."""
    found = tap_rows(context.model, rows.inputs, tensor)
    return np.asarray(found, np.float64).reshape(shape)
