"""Recurrent layers. What they carry from call to call is a state of the model.

Whole sequences without clipping, projection or normalised gates are ONNX's LSTM or RNN;
the others, and single steps, are written out, sequences of them as a Loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.tflite.operation import ACTIVATIONS, Operation
from trimtab.types import Array

__all__ = ["RECURRENT"]

_Convert = Callable[[Operation], None]
_GATES = ("input", "forget", "cell", "output")
_NORM_EPSILON = 1e-8


def _activation(op: Operation, allowed: tuple[str, ...]) -> str:
    code = op.option("activation")
    name = ACTIVATIONS[code][0] if 0 <= code < len(ACTIVATIONS) else str(code)
    if name not in allowed:
        raise UnsupportedOpError(f"{op.title}: activation {name or 'none'!r} in a cell")
    return name


def _known(op: Operation, place: int, shape: tuple[int | None, ...]) -> Array:
    """Real numbers of weights, whose dims must be these."""
    array = op.scope.real_constant(op.index(place))
    if array is None:
        raise UnsupportedOpError(f"{op.title}: its weights are computed")
    if array.ndim != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise ModelFormatError(
            f"{op.title}: input {place} has shape {array.shape}, expected {shape}"
        )
    return array


def _bias(op: Operation, place: int, n: int, scale: float | None = None) -> Array:
    """Bias of one gate as real numbers; `scale` is of one step of integers."""
    if not op.has(place):
        return np.zeros(n, np.float32)
    array = _known(op, place, (n,))
    if array.dtype.kind != "i":
        return array
    if op.tensor(place).quantization is not None:
        scale = float(op.tensor(place).quantization.scale[0])  # type: ignore[union-attr]
    if scale is None:
        raise ModelFormatError(f"{op.title}: a bias of integers without a scale")
    return (array * scale).astype(np.float32)


@dataclass(frozen=True)
class _Lstm:
    """Weights of one direction, as real numbers, and what is unusual.

    A gate's weights, recurrent weights, bias, peephole and norm are at its place in
    `_GATES`; those of the input gate are None where it is one minus the forget gate.
    """

    weights: list[Array | None]
    recurrent: list[Array | None]
    bias: list[Array]
    peephole: list[Array | None]
    norm: list[Array | None]
    projection: Array | None
    projection_bias: Array | None
    activation: str
    cell_clip: float
    projection_clip: float

    @property
    def is_usual(self) -> bool:
        """Does ONNX's LSTM compute the same?"""
        return (
            self.projection is None
            and not self.cell_clip
            and all(norm is None for norm in self.norm)
            and (self.peephole[0] is None) == (self.peephole[3] is None)
        )


def _read_lstm(op: Operation, base: int = 0, shift: int = 0) -> _Lstm:
    """Weights from input `base` on; `shift` leads over inputs that come between."""
    forget = op.tensor(base + 2).shape
    if len(forget) != 2:
        raise ModelFormatError(f"{op.title}: weights must have 2 dims, got {forget}")
    n_cell, n_input = forget
    has_projection = shift == 0 and op.has(16)
    n_output = op.tensor(base + 6).shape[-1:]
    n_out = n_output[0] if n_output else 0

    def optional(place: int, shape: tuple[int, ...]) -> Array | None:
        return _known(op, place, shape) if op.has(place) else None

    weights = [optional(base + 1 + gate, (n_cell, n_input)) for gate in range(4)]
    recurrent = [optional(base + 5 + gate, (n_cell, n_out)) for gate in range(4)]
    if any(w is None or r is None for w, r in zip(weights[1:], recurrent[1:])):  # noqa: B905
        raise ModelFormatError(f"{op.title}: weights of a gate are missing")
    if (weights[0] is None) != (recurrent[0] is None):
        raise ModelFormatError(f"{op.title}: half of the input gate is missing")
    peephole = [
        None if gate == 2 else optional(base + 9 + min(gate, 2), (n_cell,))
        for gate in range(4)
    ]
    norm = [optional(20 + gate, (n_cell,)) if not shift else None for gate in range(4)]
    if n_out != n_cell and not has_projection:
        raise ModelFormatError(
            f"{op.title}: {n_cell} cells give {n_out} outputs without a projection"
        )
    n_bytes = sum(array.nbytes for array in (*weights, *recurrent) if array is not None)
    op.scope.work.constants.spend(2 * n_bytes, op.title)
    return _Lstm(
        weights,
        recurrent,
        [_gate_bias(op, base, gate, n_cell, norm) for gate in range(4)],
        peephole,
        norm,
        _known(op, 16, (n_out, n_cell)) if has_projection else None,
        _bias(op, 17, n_out) if has_projection and op.has(17) else None,
        _activation(op, ("", "Relu", "Tanh")),
        float(op.option("cell_clip")),
        float(op.option("proj_clip")) if has_projection else 0.0,
    )


def _gate_bias(
    op: Operation, base: int, gate: int, n_cell: int, norm: list[Array | None]
) -> Array:
    """Bias of a gate; integers count in steps of input times weights."""
    scale = None
    quantization = op.tensor(0).quantization
    place = base + 1 + gate
    if quantization is not None and op.has(place):
        weights = op.tensor(place).quantization
        if weights is not None:
            scale = float(quantization.scale[0]) * float(weights.scale[0])
    return _bias(op, base + 12 + gate, n_cell, scale)


def _gate_stack(cell: _Lstm, parts: list[Array | None]) -> Array:
    """Parts in ONNX's order: input, output, forget, cell."""
    forget = parts[1]
    assert forget is not None
    first = parts[0]
    if first is None and cell.weights[0] is None:
        first = -forget  # one minus a sigmoid is the sigmoid of the negative
    order = [first, parts[3], forget, parts[2]]
    return np.concatenate([part for part in order if part is not None])


def _onnx_lstm(op: Operation, cell: _Lstm, x: str, h: str, c: str) -> list[str]:
    """Y, Y_h and Y_c of [time, batch, input] and states [1, batch, cells]."""
    bias = _gate_stack(
        cell, list(cell.bias) if cell.weights[0] is not None else [None, *cell.bias[1:]]
    )
    inputs = [
        x,
        op.const(_gate_stack(cell, cell.weights)[None]),
        op.const(_gate_stack(cell, cell.recurrent)[None]),
        op.const(np.concatenate([bias, np.zeros_like(bias)])[None]),
        "",
        h,
        c,
    ]
    if cell.peephole[3] is not None:
        gates = [cell.peephole[0], cell.peephole[3], cell.peephole[1]]
        if gates[0] is None and gates[2] is not None:
            gates[0] = -gates[2]
        inputs.append(
            op.const(np.concatenate([g for g in gates if g is not None])[None])
        )
    acts = {"": "Affine", "Relu": "Relu", "Tanh": "Tanh"}[cell.activation]
    attributes: dict[str, Any] = {}
    if acts != "Tanh":
        attributes["activations"] = ["Sigmoid", acts, acts]
    if acts == "Affine":
        attributes["activation_alpha"] = [1.0, 1.0]
    return op.builder.ops(
        "LSTM",
        inputs,
        n_outputs=3,
        name=op.result().name,
        hidden_size=int(cell.bias[0].size),
        **attributes,
    )


# ---- one step, written out -----------------------------------------------------


def _step(b: GraphBuilder, cell: _Lstm, x: str, h: str, c: str) -> tuple[str, str]:
    """Hidden and cell state after one step; all are [batch, ...]."""

    def gate(place: int, state: str, squash: str) -> str:
        weights, recurrent = cell.weights[place], cell.recurrent[place]
        assert weights is not None
        assert recurrent is not None
        total = b.op(
            "Add",
            [
                b.op("MatMul", [x, b.constant(weights.T)]),
                b.op("MatMul", [h, b.constant(recurrent.T)]),
            ],
        )
        peephole, norm = cell.peephole[place], cell.norm[place]
        if peephole is not None:
            total = b.op("Add", [total, b.op("Mul", [state, b.constant(peephole)])])
        if norm is not None:
            total = _normalise(b, total, norm)
        total = b.op("Add", [total, b.constant(cell.bias[place])])
        return b.op(squash, [total]) if squash else total

    forget = gate(1, c, "Sigmoid")
    if cell.weights[0] is None:
        enter = b.op("Sub", [b.constant(1.0, "", "float32"), forget])
    else:
        enter = gate(0, c, "Sigmoid")
    kept = b.op("Mul", [forget, c])
    added = b.op("Mul", [enter, gate(2, c, cell.activation)])
    after = _clipped(b, b.op("Add", [kept, added]), cell.cell_clip)
    shown = b.op(cell.activation, [after]) if cell.activation else after
    hidden = b.op("Mul", [gate(3, after, "Sigmoid"), shown])
    if cell.projection is not None:
        hidden = b.op("MatMul", [hidden, b.constant(cell.projection.T)])
        if cell.projection_bias is not None:
            hidden = b.op("Add", [hidden, b.constant(cell.projection_bias)])
        hidden = _clipped(b, hidden, cell.projection_clip)
    return hidden, after


def _clipped(b: GraphBuilder, x: str, bound: float) -> str:
    if bound <= 0:
        return x
    limits = [b.constant(v, "", "float32") for v in (-bound, bound)]
    return b.op("Clip", [x, *limits])


def _normalise(b: GraphBuilder, x: str, weights: Array) -> str:
    scale = b.constant(weights)
    return b.op("LayerNormalization", [x, scale], axis=-1, epsilon=_NORM_EPSILON)


_StepOf = Callable[[GraphBuilder, str, list[str]], tuple[str, list[str]]]


def _loop(
    op: Operation, x: str, states: list[str], step: _StepOf
) -> tuple[str, list[str]]:
    """Run a step over [time, batch, ...]: all outputs, and the states at the end."""
    inner = GraphBuilder(op.result().name, op.builder)
    i = inner.input("iteration", "int64", ())
    go = inner.input("condition", "bool", ())
    carried = [inner.input("state", "float32", None) for _ in states]
    row = inner.op("Gather", [x, i], axis=0)
    shown, after = step(inner, row, carried)
    inner.output(go)
    for name in after:
        inner.output(name)
    inner.output(shown)
    n_steps = op.emit("Gather", [op.emit("Shape", [x]), op.const(0, "int64")], axis=0)
    found = op.builder.ops(
        "Loop",
        [n_steps, "", *states],
        n_outputs=len(states) + 1,
        name=op.result().name,
        body=inner.body(),
    )
    return found[-1], found[:-1]


# ---- operators -----------------------------------------------------------------


def _time_first(op: Operation, x: str, time_major: bool) -> str:
    return x if time_major else op.emit("Transpose", [x], perm=[1, 0, 2])


def _sequence_lstm(op: Operation) -> None:
    cell = _read_lstm(op)
    time_major = bool(op.option("time_major"))
    if op.tensor(0).rank != 3:
        raise ModelFormatError(f"{op.title}: its input must have 3 dims")
    x = _time_first(op, op.x(0), time_major)
    h, c = op.x(18), op.x(19)
    if cell.is_usual:
        axis = op.const([0], "int64")
        states = [op.builder.op("Unsqueeze", [state, axis]) for state in (h, c)]
        y, y_h, y_c = _onnx_lstm(op, cell, x, *states)
        y = op.builder.op("Squeeze", [y, op.const([1], "int64")])
        h, c = (op.builder.op("Squeeze", [state, axis]) for state in (y_h, y_c))
    else:

        def step(b: GraphBuilder, row: str, states: list[str]) -> tuple[str, list[str]]:
            hidden, after = _step(b, cell, row, *states)
            return hidden, [hidden, after]

        y, (h, c) = _loop(op, x, [h, c], step)
    _set_states(op, {18: h, 19: c})
    op.write(_time_first(op, y, time_major))


def _set_states(op: Operation, values: dict[int, str]) -> None:
    for place, value in values.items():
        like = op.tensor(place)
        if like.quantization is not None:
            value = op.to_steps(value, like)
        op.scope.set_state(op.index(place), value)


def _lstm(op: Operation) -> None:
    if op.option("kernel_type") == 1:
        _basic_lstm(op)
        return
    cell = _read_lstm(op)
    hidden, after = _step(op.builder, cell, op.x(0), op.x(18), op.x(19))
    _set_states(op, {18: hidden, 19: after})
    op.write(op.emit("Identity", [hidden]))


def _basic_lstm(op: Operation) -> None:
    """One step with all gates in one matrix; the states are plain operands."""
    both = op.emit("Concat", [op.x(0), op.x(1)], axis=-1)
    gates = op.emit("Gemm", [both, op.x(2), op.x(3)], transB=1)
    enter, new, forget, shown = op.builder.ops(
        "Split", [gates], n_outputs=4, axis=1, num_outputs=4
    )
    kept = op.emit("Mul", [op.emit("Sigmoid", [forget]), op.x(4)])
    added = op.emit("Mul", [op.emit("Sigmoid", [enter]), op.emit("Tanh", [new])])
    state = op.emit("Add", [kept, added])
    hidden = op.emit("Mul", [op.emit("Sigmoid", [shown]), op.emit("Tanh", [state])])
    for place, value in enumerate((hidden, state, both, gates)):
        if place < len(op.record.outputs):
            op.write(value, place)


def _bidirectional_lstm(op: Operation) -> None:
    """Two LSTMs, one of them over the reversed sequence."""
    time_major, merge = bool(op.option("time_major")), bool(op.option("merge_outputs"))
    if any(op.has(place) for place in (*range(16, 18), *range(33, 35), *range(39, 48))):
        raise UnsupportedOpError(f"{op.title}: projections or auxiliary inputs")
    x = _time_first(op, op.x(0), time_major)
    results = []
    axis = op.const([0], "int64")
    ends = [op.const([value], "int64") for value in (-1, -(1 << 62), 0, -1)]
    for base, state in ((0, 35), (17, 37)):
        cell = _read_lstm(op, base, shift=1)
        if not cell.is_usual:
            raise UnsupportedOpError(f"{op.title}: clipped cells")
        source = op.emit("Slice", [x, *ends]) if base else x
        states = [op.builder.op("Unsqueeze", [op.x(state + i), axis]) for i in range(2)]
        y, y_h, y_c = _onnx_lstm(op, cell, source, *states)
        y = op.builder.op("Squeeze", [y, op.const([1], "int64")])
        y = op.emit("Slice", [y, *ends]) if base else y
        after = [op.builder.op("Squeeze", [value, axis]) for value in (y_h, y_c)]
        _set_states(op, {state: after[0], state + 1: after[1]})
        results.append(_time_first(op, y, time_major))
    if merge:
        results = [op.emit("Concat", results, axis=2)]
    for place, value in enumerate(results):
        op.write(value, place)


def _rnn_step(op: Operation) -> _StepOf:
    name = ("", "Relu", "relu_n1_to_1", "relu6", "Tanh")[op.option("activation")]
    if name not in ("", "Relu", "Tanh"):
        raise UnsupportedOpError(f"{op.title}: activation {name!r} in a cell")
    weights = _known(op, 1, (None, None))
    recurrent = _known(op, 2, (weights.shape[0], weights.shape[0]))
    bias = _bias(op, 3, weights.shape[0])

    def step(b: GraphBuilder, row: str, states: list[str]) -> tuple[str, list[str]]:
        total = b.op(
            "Add",
            [
                b.op("MatMul", [row, b.constant(weights.T)]),
                b.op("MatMul", [states[0], b.constant(recurrent.T)]),
            ],
        )
        total = b.op("Add", [total, b.constant(bias)])
        hidden = b.op(name, [total]) if name else total
        return hidden, [hidden]

    return step


def _rnn(op: Operation) -> None:
    hidden, after = _rnn_step(op)(op.builder, op.x(0), [op.x(4)])
    _set_states(op, {4: after[0]})
    op.write(op.emit("Identity", [hidden]))


def _sequence_rnn(op: Operation) -> None:
    time_major = bool(op.option("time_major"))
    x = _time_first(op, op.x(0), time_major)
    y, after = _loop(op, x, [op.x(4)], _rnn_step(op))
    _set_states(op, {4: after[0]})
    op.write(_time_first(op, y, time_major))


def _svdf(op: Operation) -> None:
    """A filter of rank one or more over the last inputs, kept in the state."""
    rank = int(op.option("rank"))
    time = _known(op, 2, (None, None))
    n_filters, memory = time.shape
    feature = _known(op, 1, (n_filters, None))
    if rank < 1 or memory < 1 or n_filters % rank:
        raise ModelFormatError(f"{op.title}: rank {rank} of {n_filters} filters")
    places = [op.const([value], "int64") for value in (1, 1 << 62, 2)]
    old = op.emit("Slice", [op.reshape(op.x(4), [-1, n_filters, memory]), *places])
    new = op.emit("MatMul", [op.x(0), op.const(feature.T)])
    new = op.emit("Unsqueeze", [new, op.const([2], "int64")])
    state = op.emit("Concat", [old, new], axis=2)
    if op.tensor(4).quantization is not None:
        state = op.to_steps(state, op.tensor(4))
    weighted = op.emit("Mul", [state, op.const(time)])
    sums = op.emit("ReduceSum", [weighted, op.const([2], "int64")], keepdims=0)
    if rank > 1:
        sums = op.reshape(sums, [-1, n_filters // rank, rank])
        sums = op.emit("ReduceSum", [sums, op.const([2], "int64")], keepdims=0)
    if op.has(3):
        scale = None
        steps = [op.tensor(place).quantization for place in (2, 4)]
        if steps[0] is not None and steps[1] is not None:
            scale = float(steps[0].scale[0]) * float(steps[1].scale[0])
        sums = op.emit("Add", [sums, op.const(_bias(op, 3, n_filters // rank, scale))])
    flat = op.reshape(state, [-1, n_filters * memory])
    op.scope.set_state(op.index(4), flat)
    op.finish(sums)


RECURRENT: Mapping[str, _Convert] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": _bidirectional_lstm,
    "LSTM": _lstm,
    "RNN": _rnn,
    "SVDF": _svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _sequence_rnn,
}
