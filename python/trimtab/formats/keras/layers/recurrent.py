"""LSTM, GRU, SimpleRNN and RNN."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trimtab.formats.keras.apply import check_layer
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.cells import Cell, read_cell
from trimtab.formats.keras.layers.runs import run_cell
from trimtab.formats.keras.layers.sequences import first_input, pack, reverse

__all__ = [
    "Recurrent",
    "initial_states",
    "read_recurrent",
    "recurrent",
    "refuse_options",
    "run_recurrent",
    "steps_mask",
]

# How Keras names a stacked cell in the tree of weights.
_PARTS = {
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "SimpleRNNCell": "simple_rnn_cell",
}


@dataclass(frozen=True)
class Recurrent:
    """A recurrent layer: what its config says.

    Parameters
    ----------
    cells : list of Cell
        One, or those that are stacked in each step.
    return_sequences, return_state : bool
        Does it give all outputs; does it give the states?
    is_backward : bool
        Does it begin with the last step?
    zeros : bool
        Does it give zeros for masked steps, rather than the output before them?
    """

    cells: list[Cell]
    return_sequences: bool
    return_state: bool
    is_backward: bool
    zeros: bool

    @property
    def n_states(self) -> int:
        """Tensors of the state."""
        return sum(cell.n_states for cell in self.cells)


def recurrent(context: LayerContext) -> list[Tensor]:
    """LSTM, GRU, SimpleRNN, and RNN with their cells.

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
        It keeps its state between calls, or has another cell.

    Examples
    --------
    >>> recurrent(context)                                 # doctest: +SKIP
    """
    x = first_input(context, 3)
    layer = read_recurrent(context, context.size(x, -1))
    states = initial_states(context, layer.n_states)
    output, ends = run_recurrent(context, layer, x, steps_mask(context), states)
    output = output.masked(context.mask if layer.return_sequences else None)
    return [output, *ends] if layer.return_state else [output]


def read_recurrent(context: LayerContext, features: int) -> Recurrent:
    """Read the config of a recurrent layer and take its weights.

    Parameters
    ----------
    context : LayerContext
    features : int
        Last dim of its input.

    Returns
    -------
    layer : Recurrent

    Raises
    ------
    UnsupportedOpError
        It keeps its state between calls, or has another cell.

    Examples
    --------
    >>> read_recurrent(context, 8)                         # doctest: +SKIP
    """
    config = context.config
    refuse_options(context)
    return Recurrent(
        _read_cells(context, features),
        config.flag("return_sequences", False),
        config.flag("return_state", False),
        config.flag("go_backwards", False),
        config.flag("zero_output_for_mask", False),
    )


def refuse_options(context: LayerContext) -> None:
    """Refuse options of recurrent layers that one call cannot express.

    Parameters
    ----------
    context : LayerContext

    Raises
    ------
    UnsupportedOpError
        There is one.

    Examples
    --------
    >>> refuse_options(context)                            # doctest: +SKIP
    """
    if context.config.flag("stateful", False):
        raise context.unsupported(
            "stateful=True keeps the state between calls, and a call of the model "
            "begins anew: rebuild it with stateful=False and the same weights; with "
            "return_state=True and initial_state= the state can be an input and an "
            "output of the model"
        )
    if context.config.flag("time_major", False):
        raise context.unsupported("time_major=True: put the batch first")
    if context.argument("constants") is not None:
        raise context.unsupported("constants= of a call of a recurrent layer")


def _read_cells(context: LayerContext, features: int) -> list[Cell]:
    """The layer's own cell, or those of an RNN."""
    if context.class_name != "RNN":
        name = context.class_name
        return [read_cell(context, name, context.config, features, part="cell")]
    name, config = check_layer(context.config.object("cell"), context.where)
    if name != "StackedRNNCells":
        return [read_cell(context, name, config, features, part="cell")]
    given = config.value("cells")
    if not isinstance(given, list) or not given:
        raise config.error("cells", "a list of cells")
    cells: list[Cell] = []
    seen: Counter[str] = Counter()
    for serialised in given:
        if not isinstance(serialised, dict):
            raise config.error("cells", "a list of objects")
        name, inner = check_layer(serialised, context.where)
        key = _PARTS.get(name, name)
        numbered = f"{key}_{seen[key]}" if seen[key] else key
        seen[key] += 1
        part = f"cell/cells/{numbered}"
        key = f"{numbered}/"
        cells.append(read_cell(context, name, inner, features, part=part, key=key))
        features = cells[-1].units
    return cells


def initial_states(context: LayerContext, expected: int) -> list[Tensor] | None:
    """Give the states that a call begins with, or None.

    They are an argument of their own, or follow the sequence in the first one.

    Parameters
    ----------
    context : LayerContext
    expected : int
        How many there must be.

    Returns
    -------
    states : list of Tensor or None

    Raises
    ------
    ModelFormatError
        There are more or fewer.

    Examples
    --------
    >>> initial_states(context, 2) is None                 # doctest: +SKIP
    True
    """
    found = context.inputs[1:]
    todo = [context.argument("initial_state", 1)]
    while todo:
        item = todo.pop(0)
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, list | tuple):
            todo = [*item, *todo]
    if not found:
        return None
    if len(found) != expected:
        raise context.error(f"expected {expected} initial states, got {len(found)}")
    return [context.cast(state, "float32") for state in found]


def steps_mask(context: LayerContext) -> Tensor | None:
    """Give the mask that the steps of a call obey.

    Keras 3 looks for the mask of the input only where that is the one tensor of the
    call: with an initial state of its own argument there is none, unless it is given.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    mask : Tensor or None

    Examples
    --------
    >>> steps_mask(context)                                # doctest: +SKIP
    """
    is_alone = context.argument("initial_state", 1) is None
    if context.source.keras_major >= 3 and not is_alone:
        given = context.argument("mask")
        return given if isinstance(given, Tensor) else None
    return context.mask


def run_recurrent(
    context: LayerContext,
    layer: Recurrent,
    x: Tensor,
    mask: Tensor | None,
    states: list[Tensor] | None,
) -> tuple[Tensor, list[Tensor]]:
    """Run a layer over a sequence.

    Parameters
    ----------
    context : LayerContext
    layer : Recurrent
    x : Tensor
        Of shape (batch, steps, features).
    mask : Tensor or None
        Of shape (batch, steps).
    states : list of Tensor or None
        To begin with; None for zeros.

    Returns
    -------
    output : Tensor
        For all steps, in the order in which it took them, or for the last.
    states : list of Tensor
        None where the layer does not give them.

    Examples
    --------
    >>> run_recurrent(context, layer, x, None, None)       # doctest: +SKIP
    """
    x = context.cast(x, "float32")
    if layer.is_backward:
        x = reverse(context, x)
        mask = None if mask is None else reverse(context, mask)
    packed = None if mask is None else pack(context, x, mask)
    lengths = packed.lengths if packed and layer.return_state else None
    ends: list[Tensor] = []
    run, x = None, packed.x if packed else x
    for cell in layer.cells:  # a step of one needs the same step of the one below
        x = run.outputs() if run else x
        mine = states and states[: cell.n_states]
        states = states and states[cell.n_states :]
        run = run_cell(context, cell, x, mine, lengths)
        ends += run.states() if layer.return_state else []
    assert run is not None
    if packed is not None:
        give = packed.unpack if layer.return_sequences else packed.last
        return give(context, run.outputs(), zeros=layer.zeros), ends
    return run.outputs() if layer.return_sequences else run.state(0), ends
