"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: an LSTM whose products are convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.loops import Step, run_loop
from trimtab.formats.keras.layers.recurrent import (
    initial_states,
    refuse_options,
    steps_mask,
)
from trimtab.formats.keras.layers.reshapes import merge_axes, split_axis
from trimtab.formats.keras.layers.runs import zero_state
from trimtab.formats.keras.layers.sequences import first_input, pack, reverse
from trimtab.formats.keras.layers.steps import lstm_state

__all__ = ["conv_lstm"]

_RANKS = {"ConvLSTM1D": 1, "ConvLSTM2D": 2, "ConvLSTM3D": 3}


@dataclass(frozen=True)
class _Spec:
    """What the config says; the tensors inside have their channels first."""

    rank: int
    filters: int
    kernel: tuple[int, ...]
    is_last: bool  # channels

    def inward(self, n_leading: int) -> list[int]:
        """The permutation that puts the channels before the places."""
        places = list(range(n_leading, n_leading + self.rank))
        end = n_leading + self.rank
        lead = list(range(n_leading))
        return [*lead, end, *places] if self.is_last else [*lead, *places, end]

    def outward(self, n_leading: int) -> list[int]:
        """Its inverse."""
        return [int(i) for i in np.argsort(self.inward(n_leading))]


def conv_lstm(context: LayerContext) -> list[Tensor]:
    """ConvLSTM1D, ConvLSTM2D, ConvLSTM3D.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The output, then the states where the config asks for them.

    Raises
    ------
    UnsupportedOpError
        It keeps its state between calls.

    Examples
    --------
    >>> conv_lstm(context)                                 # doctest: +SKIP
    """
    refuse_options(context)
    config, rank = context.config, _RANKS[context.class_name]
    choices = ("channels_last", "channels_first")
    data_format = config.text("data_format", "channels_last", choices=choices)
    spec = _Spec(
        rank,
        config.int("filters", least=1),
        config.ints("kernel_size", rank, least=1),
        data_format == "channels_last",
    )
    x = first_input(context, rank + 3)
    x = context.transpose(context.cast(x, "float32"), spec.inward(2)).masked(None)
    mask, packed = steps_mask(context), None
    if config.flag("go_backwards", False):
        x = reverse(context, x)
        mask = None if mask is None else reverse(context, mask)
    if mask is not None:
        packed = pack(context, x, mask)
        x = packed.x
    weights = _read_weights(context, spec, context.size(x, 2))
    gates = _project(context, spec, x, weights)
    states = _first_states(context, spec, gates)
    lengths = packed.lengths if packed else None
    step = _make_step(context, spec, weights[1])
    y, ends = run_loop(context, gates, states, step, lengths)
    zeros = config.flag("zero_output_for_mask", False)
    if config.flag("return_sequences", False):
        y = packed.unpack(context, y, zeros=zeros) if packed else y
        y = context.transpose(y, spec.outward(2)).masked(context.mask)
    else:
        y = packed.last(context, y, zeros=zeros) if packed else ends[0]
        y = context.transpose(y, spec.outward(1))
    if not config.flag("return_state", False):
        return [y]
    return [y, *(context.transpose(end, spec.outward(1)) for end in ends)]


def _read_weights(context: LayerContext, spec: _Spec, channels: int) -> list[Tensor]:
    """Kernels as ONNX has them, [out, in, places], and the bias where there is one."""
    perm = (spec.rank + 1, spec.rank, *range(spec.rank))
    found = []
    for name, n_in in (("kernel", channels), ("recurrent_kernel", spec.filters)):
        shape = (*spec.kernel, n_in, 4 * spec.filters)
        array = context.array(name, shape, part="cell")
        found.append(context.made(name, array.transpose(perm)))
    if context.config.flag("use_bias", True):
        found.append(context.weight("bias", (4 * spec.filters,), part="cell"))
    return found


def _project(
    context: LayerContext, spec: _Spec, x: Tensor, weights: list[Tensor]
) -> Tensor:
    """What the sequence gives to the gates, for all steps at once."""
    config = context.config
    strides = config.ints("strides", spec.rank, 1, least=1)
    dilations = config.ints("dilation_rate", spec.rank, 1, least=1)
    is_same = config.text("padding", "valid", choices=("valid", "same")) == "same"
    places = []
    for axis, kernel in enumerate(spec.kernel):
        size = context.size(x, 3 + axis)
        covered = 0 if is_same else (kernel - 1) * dilations[axis]
        places.append((size - covered - 1) // strides[axis] + 1)
    if min(places) < 1:
        raise context.error(f"the kernel is larger than the input, {x.shape}")
    y = context.op(
        "Conv",
        [merge_axes(context, x), weights[0], *weights[2:]],
        shape=(None, 4 * spec.filters, *places),
        auto_pad="SAME_UPPER" if is_same else "VALID",
        strides=list(strides),
        dilations=list(dilations),
    )
    return split_axis(context, y, x)


def _first_states(context: LayerContext, spec: _Spec, gates: Tensor) -> list[Tensor]:
    given = initial_states(context, 2)
    if given is not None:
        return [context.transpose(state, spec.inward(1)) for state in given]
    sizes = (spec.filters, *(context.size(gates, i) for i in range(3, gates.rank)))
    return [zero_state(context, gates, sizes)] * 2


def _make_step(context: LayerContext, spec: _Spec, kernel: Tensor) -> Step:
    activation = context.config.function("activation", "tanh")
    gate = context.config.function("recurrent_activation", "sigmoid")

    def step(body: LayerContext, z: Tensor, states: list[Tensor]) -> list[Tensor]:
        h, c = states
        inner = body.op("Conv", [h, kernel], shape=z.shape, auto_pad="SAME_UPPER")
        z = body.op("Add", [z, inner])
        return lstm_state(body, z, c, activation, gate)

    return step
