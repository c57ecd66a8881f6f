"""Layers around a layer: Bidirectional, TimeDistributed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trimtab.formats.keras.apply import apply_layer, open_layer
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.recurrent import (
    Recurrent,
    initial_states,
    read_recurrent,
    run_recurrent,
    steps_mask,
)
from trimtab.formats.keras.layers.reshapes import merge_axes, split_axis
from trimtab.formats.keras.layers.runs import run_pair
from trimtab.formats.keras.layers.sequences import first_input, reverse

__all__ = ["bidirectional", "time_distributed"]

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "CuDNNLSTM", "CuDNNGRU")
_MERGE = {"sum": "Add", "mul": "Mul", "ave": "Mean"}


def bidirectional(context: LayerContext) -> list[Tensor]:
    """Bidirectional.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The merged output, or both; then the states where the config asks for them.

    Raises
    ------
    UnsupportedOpError
        The layers inside are no recurrent ones.

    Examples
    --------
    >>> bidirectional(context)                             # doctest: +SKIP
    """
    x = first_input(context, 3)
    ahead = _open(context, "forward_layer", context.size(x, -1))
    back = _open(context, "backward_layer", context.size(x, -1))
    one, other = ahead.layer, back.layer
    if one.is_backward == other.is_backward or (
        (one.return_sequences, one.return_state)
        != (other.return_sequences, other.return_state)
    ):
        raise context.error(
            "expected two layers of opposite go_backwards and equal return_sequences "
            "and return_state"
        )
    states = initial_states(context, one.n_states + other.n_states)
    outputs, ends = _run(context, ahead, back, x, states)
    mask = context.mask if one.return_sequences else None
    merged = [y.masked(mask) for y in _merge(context, outputs)]
    return [*merged, *ends] if one.return_state else merged


@dataclass(frozen=True)
class _Direction:
    """A layer of Bidirectional and its context."""

    context: LayerContext
    layer: Recurrent


def _open(context: LayerContext, part: str, features: int) -> _Direction:
    """Read one of the layers; the backward one mirrors the other by default."""
    config = context.config
    is_mirror = part == "backward_layer" and not config.has(part)
    given = config.object("layer" if is_mirror or part != "backward_layer" else part)
    inner = open_layer(context, given, part)
    if inner.class_name not in _RECURRENT:
        raise context.unsupported(
            f"a layer of class {inner.class_name[:80]!r} inside; supported are "
            f"{', '.join(_RECURRENT)}"
        )
    layer = read_recurrent(inner, features)
    # Keras gives zeros for masked steps here, whatever the layer says.
    layer = replace(layer, zeros=layer.return_sequences)
    if is_mirror:
        layer = replace(layer, is_backward=True)
    return _Direction(inner, layer)


def _run(
    context: LayerContext,
    ahead: _Direction,
    back: _Direction,
    x: Tensor,
    states: list[Tensor] | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of both, in the order of time, and all states."""
    one, other = ahead.layer, back.layer
    mask = steps_mask(context)
    is_pair = other.is_backward and len(one.cells) == len(other.cells) == 1
    if mask is None and is_pair and one.cells[0].is_twin(other.cells[0]):
        return _run_twins(context, one, other, x, states)
    outputs, ends = [], []
    for way in (ahead, back):
        n = way.layer.n_states
        mine, states = states and states[:n], states and states[n:]
        y, found = run_recurrent(way.context, way.layer, x, mask, mine)
        ends += found
        outputs.append(y)
    if one.return_sequences:
        outputs[1] = reverse(context, outputs[1])
    return outputs, ends


def _run_twins(
    context: LayerContext,
    one: Recurrent,
    other: Recurrent,
    x: Tensor,
    states: list[Tensor] | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Both directions in one operator."""
    x = context.cast(x, "float32")
    run = run_pair(context, one.cells[0], other.cells[0], x, states)
    ends = run.states() if one.return_state else []
    if not one.return_sequences:
        return [run.state(0), run.state(one.n_states)], ends
    y, shape = run.outputs(), (*x.shape[:2], one.cells[0].units)
    outputs = [
        context.op("Gather", [y, context.constant(i)], shape=shape, axis=2)
        for i in range(2)
    ]
    return outputs, ends


def _merge(context: LayerContext, outputs: list[Tensor]) -> list[Tensor]:
    mode = "concat"
    if "merge_mode" in context.config.values:
        choices = ("concat", *_MERGE)
        given = context.config.optional_text("merge_mode", choices=choices)
        if given is None:
            return outputs
        mode = given
    if mode != "concat":
        return [context.op(_MERGE[mode], outputs)]
    first, second = (context.size(y, -1) for y in outputs)
    shape = (*outputs[0].shape[:-1], first + second)
    return [context.op("Concat", outputs, shape=shape, axis=-1)]


# ---- TimeDistributed -------------------------------------------------------------


def time_distributed(context: LayerContext) -> Tensor:
    """TimeDistributed: the layer inside gets every step as a sample of its own.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        The layer inside gives several outputs.

    Examples
    --------
    >>> time_distributed(context)                          # doctest: +SKIP
    """
    x = context.x
    if x.rank < 3:
        raise context.error(f"expected an input of 3 dims or more, got {x.shape}")
    mask, inner_mask = context.mask, None
    if mask is not None and mask.rank > 2:
        inner_mask = merge_axes(context, mask)
    samples = merge_axes(context, x.masked(None)).masked(inner_mask)
    inner = open_layer(context, context.config.object("layer"), "layer")
    inner.args = (samples,)
    outputs = apply_layer(inner)
    if len(outputs) != 1:
        raise context.error(f"the layer inside gives {len(outputs)} outputs, not one")
    return split_axis(context, outputs[0], x).masked(mask)
