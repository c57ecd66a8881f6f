"""A Loop over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from trimtab.formats.builder import GraphBuilder
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.sequences import take_last

__all__ = ["Step", "count_steps", "run_loop"]

Step: TypeAlias = Callable[[LayerContext, Tensor, "list[Tensor]"], "list[Tensor]"]
"""Takes the context of the body, a step of the sequence and the states; gives the next
states, the first of which is the output."""


def count_steps(context: LayerContext, x: Tensor) -> Tensor | str:
    """Give the size of axis 1 as a scalar.

    Parameters
    ----------
    context : LayerContext
    x : Tensor

    Returns
    -------
    steps : Tensor or str

    Examples
    --------
    >>> count_steps(context, x)                            # doctest: +SKIP
    """
    if isinstance(x.shape[1], int):
        return context.constant(x.shape[1], "int64")
    size = context.op("Shape", [x], shape=(1,), dtype="int64", start=1, end=2)
    return context.op("Squeeze", [size, context.constant([0])], shape=())


def run_loop(
    context: LayerContext,
    x: Tensor,
    states: list[Tensor],
    step: Step,
    lengths: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Run a step for each of a sequence.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
        Of shape (batch, steps, ...).
    states : list of Tensor
        To begin with.
    step : callable
        See `Step`.
    lengths : Tensor, optional
        Steps of each sequence, int64.

    Returns
    -------
    outputs : Tensor
        Of shape (batch, steps, ...).
    states : list of Tensor
        After the last step of each sequence.

    Examples
    --------
    >>> run_loop(context, x, [h], step)                    # doctest: +SKIP
    """
    outer = context.source.builder
    builder = GraphBuilder(f"{context.name}/step", outer)
    inside = replace(
        context, source=replace(context.source, builder=builder, shared={})
    )
    number = builder.input(f"{context.name}/i", "int64", ())
    go_on = builder.input(f"{context.name}/go_on", "bool", ())
    olds = [
        replace(s, name=builder.input(f"{context.name}/state", s.dtype, s.shape))
        for s in states
    ]
    shape = (x.shape[0], *x.shape[2:])
    now = inside.op("Gather", [x, number], shape=shape, axis=1)
    news = step(inside, now, olds)
    n_kept = len(news) if lengths is not None else 1
    builder.output(go_on)
    for new in [*news, *news[:n_kept]]:
        builder.output(new.name)
    names = context.ops(
        "Loop",
        [
            count_steps(context, x),
            context.constant(True, "bool"),
            *states,
        ],
        len(news) + n_kept,
        body=builder.body(),
    )
    ends = [replace(s, name=n) for s, n in zip(news, names, strict=False)]
    kept = [
        _batch_first(context, name, new, x)
        for name, new in zip(names[len(news) :], news, strict=False)
    ]
    if lengths is not None:
        ends = [
            take_last(context, all_steps, lengths, first)
            for all_steps, first in zip(kept, states, strict=True)
        ]
    return kept[0], ends


def _batch_first(context: LayerContext, name: str, new: Tensor, x: Tensor) -> Tensor:
    """What a Loop gathered, [steps, batch, ...], as [batch, steps, ...]."""
    rest = new.shape[1:]
    gathered = Tensor(name, new.dtype, (x.shape[1], new.shape[0], *rest))
    return context.transpose(gathered, [1, 0, *range(2, 2 + len(rest))])
