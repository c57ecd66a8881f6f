"""Recurrent cells: their configs and weights.

Enters: the config of LSTM, GRU, SimpleRNN or of a cell of that kind. Leaves: a `Cell`,
which `runs` takes over a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.config import Config, Function
from trimtab.formats.keras.layer import LayerContext

__all__ = ["Cell", "read_cell"]

_Array: TypeAlias = "np.ndarray[Any, Any]"

# class of a layer or cell -> operator of ONNX
_KINDS = {
    "LSTM": "LSTM",
    "LSTMCell": "LSTM",
    "GRU": "GRU",
    "GRUCell": "GRU",
    "SimpleRNN": "RNN",
    "SimpleRNNCell": "RNN",
    "CuDNNLSTM": "LSTM",
    "CuDNNGRU": "GRU",
}
_N_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

# function -> ONNX's activation of a recurrent operator, alpha and beta
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "linear": ("Affine", 1.0, 0.0),
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "relu": ("Relu", None, None),
    "elu": ("Elu", 1.0, None),
    "softsign": ("Softsign", None, None),
    "softplus": ("Softplus", None, None),
    "leaky_relu": ("LeakyRelu", 0.2, None),
}
# Keras 3 has relu6(x + 3) / 6; before, it was clip(0.2 x + 0.5, 0, 1).
_HARD_SIGMOID = {
    True: ("HardSigmoid", 1.0 / 6.0, 0.5),
    False: ("HardSigmoid", 0.2, 0.5),
}


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    Parameters
    ----------
    kind : str
        "LSTM", "GRU" or "RNN".
    key : str
        Opens the names of its constants: "" or "lstm_cell_1/".
    units : int
    kernel, recurrent : ndarray
        Keras' weights, of shape (features, gates units) and (units, gates units).
    bias : ndarray or None
        Of shape (gates units,), or (2, gates units) for a GRU with reset_after.
    activation, gate : Function or None
        Of the state and of the gates.
    reset_after : bool
        Of a GRU: is the reset gate applied after the matrix product?
    operator_activations : list
        ONNX's activations with alpha and beta; empty when a Loop is needed.
    """

    kind: str
    key: str
    units: int
    kernel: _Array
    recurrent: _Array
    bias: _Array | None
    activation: Function | None
    gate: Function | None
    reset_after: bool = False
    operator_activations: list[tuple[str, float | None, float | None]] = field(
        default_factory=list
    )

    @property
    def n_states(self) -> int:
        """Tensors of the state: h, and c of an LSTM."""
        return 2 if self.kind == "LSTM" else 1

    def is_twin(self, other: Cell) -> bool:
        """Can both be the directions of one operator?

        Parameters
        ----------
        other : Cell

        Returns
        -------
        is_twin : bool

        Examples
        --------
        >>> forward.is_twin(backward)                      # doctest: +SKIP
        True
        """
        return bool(self.operator_activations and other.operator_activations) and (
            (self.kind, self.units, self.reset_after, self.bias is None)
            == (other.kind, other.units, other.reset_after, other.bias is None)
        )


def read_cell(
    context: LayerContext,
    class_name: str,
    config: Config,
    features: int,
    *,
    part: str,
    key: str = "",
) -> Cell:
    """Read a cell's config and take its weights.

    Parameters
    ----------
    context : LayerContext
        Of the layer that holds it.
    class_name : str
        Of the cell, or of the layer that is one with its cell.
    config : Config
        Of the cell.
    features : int
        Last dim of what it gets.
    part : str
        Its path in the weights.
    key : str, default=""
        Opens the names of its constants.

    Returns
    -------
    cell : Cell

    Raises
    ------
    UnsupportedOpError
        No such cell.
    ModelFormatError
        Config or weights are malformed.

    Examples
    --------
    >>> read_cell(context, "GRU", context.config, 8, part="cell")  # doctest: +SKIP
    """
    kind = _KINDS.get(class_name)
    if kind is None:
        raise context.unsupported(
            f"a cell of class {class_name[:80]!r}; supported are LSTMCell, GRUCell, "
            "SimpleRNNCell and StackedRNNCells of them"
        )
    units = config.int("units", least=1)
    is_new = context.source.keras_major >= 3
    is_cudnn = class_name.startswith("CuDNN")
    reset_after = kind == "GRU" and (is_cudnn or config.flag("reset_after", is_new))
    activation = config.function("activation", "tanh")
    gate = None if kind == "RNN" else config.function("recurrent_activation", "sigmoid")
    if is_cudnn:
        weights = _read_cudnn(context, features, units, _N_GATES[kind])
    else:
        has_bias = config.flag("use_bias", True)
        columns = _N_GATES[kind] * units
        bias_shape = (2, columns) if reset_after else (columns,)
        weights = (
            context.array("kernel", (features, columns), part=part),
            context.array("recurrent_kernel", (units, columns), part=part),
            context.array("bias", bias_shape, part=part) if has_bias else None,
        )
    functions = [activation] if kind == "RNN" else [gate, activation]
    if kind == "LSTM":
        functions.append(activation)
    found = [_operator_activation(f, is_new) for f in functions]
    known = [f for f in found if f is not None]
    return Cell(
        kind,
        key,
        units,
        *weights,
        activation,
        gate,
        reset_after,
        known if len(known) == len(found) else [],
    )


def _read_cudnn(
    context: LayerContext, features: int, units: int, n_gates: int
) -> tuple[_Array, _Array, _Array | None]:
    """Weights of CuDNNLSTM and CuDNNGRU, as the other layers have them.

    A gate's kernel of shape (rows, units) holds cuDNN's matrix of (units, rows),
    element after element; there are two biases.
    """
    columns = n_gates * units
    found = []
    for name, rows in (("kernel", features), ("recurrent_kernel", units)):
        array = context.array(name, (rows, columns))
        gates = [gate.reshape(units, rows).T for gate in np.split(array, n_gates, 1)]
        found.append(np.concatenate(gates, axis=1))
    bias = context.array("bias", (2 * columns,)).reshape(2, columns)
    return found[0], found[1], bias if n_gates == 3 else bias.sum(axis=0)


def _operator_activation(
    function: Function | None, is_new: bool
) -> tuple[str, float | None, float | None] | None:
    """ONNX's name with alpha and beta, or None where it has none."""
    if function is None:
        return _ACTIVATIONS["linear"]
    if function.config:
        return None
    if function.name == "hard_sigmoid":
        return _HARD_SIGMOID[is_new]
    return _ACTIVATIONS.get(function.name)
