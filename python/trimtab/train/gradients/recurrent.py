"""LSTM, GRU and RNN: the steps once more with what they hide, then backward.

Two loops do what must go step by step; the products with weights and inputs are one
matrix product each over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.train.emitter import Emitter, Tensor
from trimtab.train.gradients.moves import zeros_as
from trimtab.train.site import Rule, Site
from trimtab.types import Array

__all__ = ["RECURRENT"]

_HUGE = 2**31


@dataclass(frozen=True)
class _Weights:
    """R and its bias of one direction, as the cells read them."""

    r: Tensor
    bias: Tensor
    hidden: int


@dataclass(frozen=True)
class _Cell:
    """What differs between the operators.

    `forward`: (emitter, gates of x, state, weights) -> the next state and what
    `backward` wants to know, the state before first. `backward`: (emitter, that,
    gradients of the state, weights) -> gradients of the state before, and of the gates
    as x and as h enter them.
    """

    n_gates: int
    n_states: int
    n_kept: int
    activations: tuple[str, ...]
    forward: Callable[..., tuple[list[Tensor], list[Tensor]]]
    backward: Callable[..., tuple[list[Tensor], Tensor, Tensor]]


def _parts(e: Emitter, x: Tensor, n: int) -> list[Tensor]:
    return e.emit_many("Split", n, x, axis=-1, num_outputs=n)


def _join(e: Emitter, *parts: Tensor) -> Tensor:
    return e.emit("Concat", *parts, axis=-1)


def _through_r(e: Emitter, h: Tensor, w: _Weights) -> Tensor:
    return e.emit("Gemm", h, w.r, w.bias, transB=1)


def _sigmoid(e: Emitter, x: Tensor) -> Tensor:
    return e.emit("Sigmoid", x)


def _tanh(e: Emitter, x: Tensor) -> Tensor:
    return e.emit("Tanh", x)


# ---- cells ---------------------------------------------------------------------------


def _lstm_forward(
    e: Emitter, a: Tensor, state: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], list[Tensor]]:
    h, c = state
    i, o, f, g = _parts(e, a + _through_r(e, h, w), 4)
    i, o, f, g = _sigmoid(e, i), _sigmoid(e, o), _sigmoid(e, f), _tanh(e, g)
    new = f * c + i * g
    top = _tanh(e, new)
    return [o * top, new], [h, c, i, o, f, g, top]


def _lstm_backward(
    e: Emitter, kept: Sequence[Tensor], d: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], Tensor, Tensor]:
    _, c, i, o, f, g, top = kept
    dh, dc = d
    dc = dc + dh * o * (1.0 - top * top)
    gates = _join(
        e,
        dc * g * i * (1.0 - i),
        dh * top * o * (1.0 - o),
        dc * c * f * (1.0 - f),
        dc * i * (1.0 - g * g),
    )
    return [e.emit("Gemm", gates, w.r), dc * f], gates, gates


def _rnn_forward(
    e: Emitter, a: Tensor, state: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], list[Tensor]]:
    new = _tanh(e, a + _through_r(e, state[0], w))
    return [new], [state[0], new]


def _rnn_backward(
    e: Emitter, kept: Sequence[Tensor], d: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], Tensor, Tensor]:
    gates = d[0] * (1.0 - kept[1] * kept[1])
    return [e.emit("Gemm", gates, w.r)], gates, gates


def _gru_forward(
    e: Emitter, a: Tensor, state: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], list[Tensor]]:
    """The reset gate scales what R has made of h (linear_before_reset)."""
    (h,) = state
    az, ar, an = _parts(e, a, 3)
    rz, rr, rn = _parts(e, _through_r(e, h, w), 3)
    z, r = _sigmoid(e, az + rz), _sigmoid(e, ar + rr)
    n = _tanh(e, an + r * rn)
    return [n + z * (h - n)], [h, z, r, n, rn]


def _gru_backward(
    e: Emitter, kept: Sequence[Tensor], d: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], Tensor, Tensor]:
    h, z, r, n, rn = kept
    (dh,) = d
    dz = dh * (h - n) * z * (1.0 - z)
    dn = dh * (1.0 - z) * (1.0 - n * n)
    dr = dn * rn * r * (1.0 - r)
    by_h = _join(e, dz, dr, dn * r)
    return [dh * z + e.emit("Gemm", by_h, w.r)], _join(e, dz, dr, dn), by_h


def _rows(e: Emitter, x: Tensor, first: int, last: int) -> Tensor:
    return e.emit("Slice", x, e.ints([first]), e.ints([last]), e.ints([0]))


def _reset_forward(
    e: Emitter, a: Tensor, state: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], list[Tensor]]:
    """The reset gate scales h before R."""
    (h,) = state
    az, ar, an = _parts(e, a, 3)
    size = w.hidden
    gates = e.emit(
        "Gemm",
        h,
        _rows(e, w.r, 0, 2 * size),
        _rows(e, w.bias, 0, 2 * size),
        transB=1,
    )
    rz, rr = _parts(e, gates, 2)
    z, r = _sigmoid(e, az + rz), _sigmoid(e, ar + rr)
    last = (_rows(e, x, 2 * size, 3 * size) for x in (w.r, w.bias))
    n = _tanh(e, an + e.emit("Gemm", r * h, *last, transB=1))
    return [n + z * (h - n)], [h, z, r, n]


def _reset_backward(
    e: Emitter, kept: Sequence[Tensor], d: Sequence[Tensor], w: _Weights
) -> tuple[list[Tensor], Tensor, Tensor]:
    h, z, r, n = kept
    (dh,) = d
    dz = dh * (h - n) * z * (1.0 - z)
    dn = dh * (1.0 - z) * (1.0 - n * n)
    scaled = e.emit("Gemm", dn, _rows(e, w.r, 2 * w.hidden, 3 * w.hidden))
    dr = scaled * h * r * (1.0 - r)
    first = e.emit("Gemm", _join(e, dz, dr), _rows(e, w.r, 0, 2 * w.hidden))
    gates = _join(e, dz, dr, dn)
    return [dh * z + scaled * r + first], gates, gates


_LSTM = _Cell(4, 2, 7, ("sigmoid", "tanh", "tanh"), _lstm_forward, _lstm_backward)
_RNN = _Cell(1, 1, 2, ("tanh",), _rnn_forward, _rnn_backward)
_GRU = _Cell(3, 1, 5, ("sigmoid", "tanh"), _gru_forward, _gru_backward)
_RESET = _Cell(3, 1, 4, ("sigmoid", "tanh"), _reset_forward, _reset_backward)


# ---- all steps -----------------------------------------------------------------------


def _check(site: Site, cell: _Cell, n_directions: int) -> None:
    listed = site.attribute("activations", None)
    usual = list(cell.activations) * n_directions
    if listed is not None and [str(name).lower() for name in listed] != usual:
        raise site.refusal("its activations are not the usual ones")
    for name in ("clip", "input_forget", "layout"):
        if site.attribute(name, 0):
            raise site.refusal(f"it has the attribute {name}")
    for i, what in ((4, "lengths of sequences"), (7, "peepholes")):
        if site.has(i):
            raise site.refusal(f"it has {what}")


class _Direction:
    """One direction of a node: its weights, and its inputs in the order it reads."""

    def __init__(self, site: Site, cell: _Cell, d: int, is_reverse: bool) -> None:
        e = site.e
        self.site, self.e, self.cell, self.d = site, e, cell, d
        self.is_reverse = is_reverse
        self.x = self.turned(site.x(0))
        self.w = self.of(site.x(1))
        size = int(site.attribute("hidden_size", 0))
        width = cell.n_gates * size
        if site.has(3):
            both = self.of(site.x(3))
            w_bias, r_bias = _rows(e, both, 0, width), _rows(e, both, width, _HUGE)
        else:
            w_bias = r_bias = e.emit("Expand", e.number(0.0), e.ints([width]))
        self.weights = _Weights(self.of(site.x(2)), r_bias, size)
        self.gates = e.emit("MatMul", self.x, e.ours("TransposeLast", self.w)) + w_bias
        self.n = e.emit(
            "Reshape", e.emit("Gather", e.shape(self.x), e.ints([0])), e.ints([])
        )

    def of(self, x: Tensor, axis: int = 0) -> Tensor:
        """The part of this direction."""
        return self.e.emit("Gather", x, self.e.constant(_index(self.d)), axis=axis)

    def turned(self, x: Tensor) -> Tensor:
        """Steps in the order of this direction, or back in theirs."""
        e = self.e
        if not self.is_reverse:
            return x
        ends = (e.ints([-1]), e.ints([-_HUGE]), e.ints([0]), e.ints([-1]))
        return e.emit("Slice", x, *ends)

    def state(self) -> list[Tensor]:
        """The state before the first step."""
        e, found = self.e, []
        rows = e.emit("Gather", e.shape(self.x), e.ints([1]))
        dims = e.emit("Concat", rows, e.ints([self.weights.hidden]), axis=0)
        for i in (5, 6)[: self.cell.n_states]:
            has = self.site.has(i)
            zeros = e.emit("Expand", e.number(0.0), dims)
            found.append(self.of(self.site.x(i)) if has else zeros)
        return found

    def forward(self) -> list[Tensor]:
        """What each step keeps, stacked."""

        def step(
            e: Emitter, turn: Tensor, state: list[Tensor]
        ) -> tuple[list[Tensor], list[Tensor]]:
            a = e.emit("Gather", self.gates, turn)
            return self.cell.forward(e, a, state, self.weights)

        return self.e.loop(self.n, self.state(), self.cell.n_kept, step)[1]

    def backward(self, kept: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
        """Gradients of the first state, and of the gates as x and as h enter them."""
        e, site = self.e, self.site
        steps = site.gradients[0]
        each = None if steps is None else self.turned(self.of(steps, axis=1))
        last = []
        for i in range(self.cell.n_states):
            g = site.gradients[1 + i] if len(site.gradients) > 1 + i else None
            zeros = zeros_as(site, self.of_last(kept[0]))
            last.append(zeros if g is None else self.of(g))

        def step(
            e: Emitter, turn: Tensor, state: list[Tensor]
        ) -> tuple[list[Tensor], list[Tensor]]:
            at = e.emit("Sub", e.emit("Sub", self.n, e.constant(_index(1))), turn)
            known = [e.emit("Gather", x, at) for x in kept]
            if each is not None:
                state = [state[0] + e.emit("Gather", each, at), *state[1:]]
            before, by_x, by_h = self.cell.backward(e, known, state, self.weights)
            return before, [by_x, by_h]

        first, (by_x, by_h) = e.loop(self.n, last, 2, step)
        ends = (e.ints([-1]), e.ints([-_HUGE]), e.ints([0]), e.ints([-1]))
        return first, e.emit("Slice", by_x, *ends), e.emit("Slice", by_h, *ends)

    def of_last(self, x: Tensor) -> Tensor:
        return self.e.emit("Gather", x, self.e.constant(_index(-1)))

    def gradients(self) -> list[Tensor]:
        """Of x, W, R, B and the state before the first step."""
        e = self.e
        kept = self.forward()
        first, by_x, by_h = self.backward(kept)
        found = [
            self.turned(e.emit("MatMul", by_x, self.w)),
            self.product(by_x, self.x),
            self.of_r(kept, by_h),
            e.emit("Concat", *(e.sum(x, [0, 1], keep=False) for x in (by_x, by_h)),
                   axis=0),
        ]  # fmt: skip
        return found + first

    def of_r(self, kept: list[Tensor], by_h: Tensor) -> Tensor:
        if self.cell is not _RESET:
            return self.product(by_h, kept[0])
        e, size = self.e, self.weights.hidden
        parts = e.emit_many("Split", 2, by_h, e.ints([2 * size, size]), axis=-1)
        reset = kept[2] * kept[0]
        both = self.product(parts[0], kept[0]), self.product(parts[1], reset)
        return e.emit("Concat", *both, axis=0)

    def product(self, gates: Tensor, x: Tensor) -> Tensor:
        """The gates' gradients times what they were made of, over all rows."""
        e = self.e
        flat = []
        for t in (gates, x):
            width = e.emit("Gather", e.shape(t), e.ints([2]))
            dims = e.emit("Concat", e.ints([-1]), width, axis=0)
            flat.append(e.emit("Reshape", t, dims))
        return e.emit("Gemm", *flat, transA=1)


def _index(i: int) -> Array:
    return np.array(i, np.int64)


def _rule(cell_of: Callable[[Site], _Cell]) -> Rule:
    def rule(site: Site) -> Sequence[Tensor | None]:
        e, cell = site.e, cell_of(site)
        direction = str(site.attribute("direction", "forward"))
        turns = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
        _check(site, cell, len(turns[direction]))
        each = [
            _Direction(site, cell, d, is_reverse).gradients()
            for d, is_reverse in enumerate(turns[direction])
        ]
        dx = [found[0] for found in each]
        stacked = [
            e.emit("Concat", *(e.emit("Unsqueeze", x, e.ints([0])) for x in parts),
                   axis=0)
            for parts in list(zip(*each, strict=True))[1:]
        ]  # fmt: skip
        x = e.emit("Sum", *dx) if len(dx) > 1 else dx[0]
        w, r, bias, *states = stacked
        found = [x, w, r, bias, None, *states]
        return [g if site.wants(i) else None for i, g in enumerate(found)]

    return rule


#: Operator -> rule.
RECURRENT: dict[str, Rule] = {
    "GRU": _rule(lambda s: _GRU if s.attribute("linear_before_reset", 0) else _RESET),
    "LSTM": _rule(lambda s: _LSTM),
    "RNN": _rule(lambda s: _RNN),
}
