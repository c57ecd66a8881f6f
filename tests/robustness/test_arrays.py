"""Any array that NumPy can make, through small graphs, against NumPy.

Hypothesis chooses dtype, rank (0 too), sizes (0 too), memory order, strides (steps,
negative, broadcast by 0), byte order and alignment, for one or several inputs at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from bind.models import build
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

import trimtab

FLOATS = ("float16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
#: Share of the range that is lost by rounding: sums of some dozen terms.
TOLERANCE = {"float16": 4e-3, "float32": 4e-6, "float64": 1e-13}


@cache
def model(op: str, codes: tuple[int, ...], ranks: tuple[int, ...], attrs: tuple):
    """One operator over inputs of these types and ranks, every dim open."""
    names = [f"x{i}" for i in range(len(codes))]
    node = helper.make_node(op, names, ["y"], **dict(attrs))
    inputs = [
        (name, code, [f"{name}_{axis}" for axis in range(rank)])
        for name, code, rank in zip(names, codes, ranks, strict=True)
    ]
    return trimtab.load_model(build([node], inputs, ["y"]), threads=1, fallback=False)


def run(op: str, *arrays: np.ndarray, **attrs: Any) -> np.ndarray:
    codes = tuple(
        helper.np_dtype_to_tensor_dtype(a.dtype.newbyteorder("=")) for a in arrays
    )
    key = tuple(sorted(attrs.items()))
    loaded = model(op, codes, tuple(a.ndim for a in arrays), key)
    if not all(a.dtype.isnative for a in arrays):
        with pytest.raises(trimtab.InputTypeError, match="native byte order"):
            loaded(*arrays)
        arrays = tuple(a.astype(a.dtype.newbyteorder("=")) for a in arrays)
    return loaded(*arrays)


def agree(got: np.ndarray, want: Any) -> None:
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype.newbyteorder("=")
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    wide, truth = got.astype(np.float64), want.astype(np.float64)
    assert np.array_equal(np.isnan(wide), np.isnan(truth))
    scale = max(np.abs(truth[np.isfinite(truth)]).max(initial=0.0), 1e-3)
    close = np.abs(wide - truth) <= TOLERANCE[got.dtype.name] * scale
    assert (close | (wide == truth) | np.isnan(truth)).all(), (got, want)


# ---- arrays ------------------------------------------------------------------------


def fill(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if kind in "iu":
        return rng.integers(-4 if kind == "i" else 0, 12, shape).astype(dtype)
    return rng.uniform(-2, 2, shape).astype(dtype)


def laid_out(draw: Callable, values: np.ndarray) -> np.ndarray:
    """The same values in memory of another order, with gaps, backwards, unaligned."""
    kind = draw(st.sampled_from(["plain", "order", "steps", "swapped", "offset"]))
    if kind == "order":
        order = draw(st.permutations(range(values.ndim)))
        stored = np.ascontiguousarray(values.transpose(order))
        return stored.transpose(np.argsort(order)) if order else stored
    if kind == "steps":
        steps = [draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in values.shape]
        big = np.full(
            [max(n * abs(s), 1) for n, s in zip(values.shape, steps, strict=True)],
            99,
            values.dtype,
        )
        view = big[(*(slice(None, None, s) for s in steps), ...)]
        view = view[(*(slice(0, n) for n in values.shape), ...)]
        view[...] = values
        return view
    if kind == "swapped":
        return values.astype(values.dtype.newbyteorder(">"))
    if kind == "offset":
        raw = np.empty(values.nbytes + 1, np.uint8)
        shifted = raw[1:].view(values.dtype).reshape(values.shape)
        shifted[...] = values
        return shifted
    return values


@st.composite
def arrays(
    draw: Callable,
    dtypes: tuple[str, ...] = ("float32",),
    min_rank: int = 0,
    min_side: int = 0,
) -> np.ndarray:
    shape = tuple(
        draw(st.lists(st.integers(min_side, 5), min_size=min_rank, max_size=5))
    )
    dtype = draw(st.sampled_from(dtypes))
    values = fill(shape, dtype, draw(st.integers(0, 99)))
    if shape and draw(st.integers(0, 9)) == 0:  # strides of 0
        axis = draw(st.integers(0, len(shape) - 1))
        if shape[axis]:
            return np.broadcast_to(values.take([0], axis=axis), shape)
    return laid_out(draw, values)


@st.composite
def broadcast_together(
    draw: Callable, n: int, dtypes: tuple[str, ...]
) -> list[np.ndarray]:
    """Arrays of one dtype whose shapes broadcast."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    dtype = draw(st.sampled_from(dtypes))
    found = []
    for i in range(n):
        own = [1 if draw(st.booleans()) else side for side in shape]
        own = own[draw(st.integers(0, len(own))) :]
        values = fill(tuple(own), dtype, draw(st.integers(0, 99)) + i)
        found.append(laid_out(draw, values))
    return found


# ---- elementwise -------------------------------------------------------------------

BINARY = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Equal": np.equal,
    "Greater": np.greater,
    "LessOrEqual": np.less_equal,
}


@pytest.mark.parametrize("op", BINARY)
@SETTINGS
@given(data=st.data())
def test_binary_operators_broadcast_as_numpy_does(op: str, data: Any) -> None:
    a, b = data.draw(
        broadcast_together(2, (*FLOATS, "int8", "int32", "int64", "uint8"))
    )
    agree(run(op, a, b), BINARY[op](a, b))


@SETTINGS
@given(data=st.data())
def test_where_broadcasts_three_inputs(data: Any) -> None:
    c, a, b = data.draw(broadcast_together(3, ("float32", "int64", "float64")))
    c = c > 1
    agree(run("Where", c, a, b), np.where(c, a, b))


UNARY = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Relu": lambda x: np.maximum(x, 0).astype(x.dtype),
    "Identity": lambda x: x,
}


@pytest.mark.parametrize("op", UNARY)
@SETTINGS
@given(x=arrays((*FLOATS, "int8", "int32", "int64")))
def test_unary_operators_take_any_array(op: str, x: np.ndarray) -> None:
    assume(op != "Relu" or x.dtype.kind == "f")
    agree(run(op, x), UNARY[op](x))


@SETTINGS
@given(x=arrays((*FLOATS, *INTS, "bool")), to=st.sampled_from((*FLOATS, *INTS, "bool")))
def test_casts_of_any_array(x: np.ndarray, to: str) -> None:
    assume(not (x.dtype.kind == "f" and to[0] == "u"))  # negative: undefined in ONNX
    code = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    agree(run("Cast", x, to=code), x.astype(to))


# ---- moving ------------------------------------------------------------------------


@SETTINGS
@given(data=st.data(), x=arrays((*FLOATS, *INTS, "bool")))
def test_transposes_of_any_array(data: Any, x: np.ndarray) -> None:
    order = tuple(data.draw(st.permutations(range(x.ndim))))
    assume(order)
    agree(run("Transpose", x, perm=order), x.transpose(order))


@SETTINGS
@given(x=arrays((*FLOATS, *INTS, "bool")), data=st.data())
def test_reshapes_of_any_array(x: np.ndarray, data: Any) -> None:
    shape = data.draw(st.permutations(x.shape)) if x.ndim else [1]
    if x.size and x.ndim and data.draw(st.booleans()):
        shape = [-1]
    attrs = {"allowzero": 1} if 0 in shape else {}
    agree(run("Reshape", x, np.array(shape, np.int64), **attrs), x.reshape(shape))


@SETTINGS
@given(x=arrays(("float32", "int64", "bool"), min_rank=1), data=st.data())
def test_concatenations_of_any_arrays(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    shape = list(x.shape)
    shape[axis] = data.draw(st.integers(0, 4))
    other = laid_out(data.draw, fill(tuple(shape), x.dtype.name, 3))
    agree(run("Concat", x, other, axis=axis), np.concatenate([x, other], axis))


@SETTINGS
@given(x=arrays(("float32", "int32", "bool"), min_rank=1, min_side=1), data=st.data())
def test_gathers_from_any_array(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    flat = data.draw(st.lists(st.integers(-n, n - 1), max_size=6))
    indices = laid_out(data.draw, np.array(flat, np.int64))
    agree(run("Gather", x, indices, axis=axis), np.take(x, indices, axis=axis))


@SETTINGS
@given(x=arrays(("float32", "int64"), min_rank=1), data=st.data())
def test_slices_of_any_array(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    start, end = (data.draw(st.integers(-7, 7)) for _ in range(2))
    step = data.draw(st.sampled_from([1, 2, 3, -1, -2]))
    parts = [slice(None)] * x.ndim
    first = start  # going backwards ONNX begins with what is there, NumPy does not
    if step < 0 and x.shape[axis]:
        first = max(start, -x.shape[axis])
    parts[axis] = slice(first, end, step)
    given_ = [np.array([v], np.int64) for v in (start, end, axis, step)]
    agree(run("Slice", x, *given_), x[tuple(parts)])


# ---- sums and products ---------------------------------------------------------------


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMean"])
@SETTINGS
@given(data=st.data(), x=arrays(("float32", "float64"), min_rank=1))
def test_reductions_of_any_array(op: str, data: Any, x: np.ndarray) -> None:
    axes = data.draw(st.sets(st.integers(0, x.ndim - 1), min_size=1))
    empty = any(x.shape[axis] == 0 for axis in axes)
    assume(op == "ReduceSum" or not empty)
    if op == "ReduceSum":
        got = run(op, x, np.array(sorted(axes), np.int64), keepdims=0)
    else:
        got = run(op, x, axes=tuple(sorted(axes)), keepdims=0)
    numpy_op = {"ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMean": np.mean}[op]
    agree(got, numpy_op(x, axis=tuple(axes)))


@SETTINGS
@given(data=st.data())
def test_matrix_products_broadcast_as_numpy_does(data: Any) -> None:
    batch = data.draw(st.lists(st.integers(0, 3), max_size=2))
    m, k, n = (data.draw(st.integers(0, 6)) for _ in range(3))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    sides = []
    for rows, columns in ((m, k), (k, n)):
        own = [1 if data.draw(st.booleans()) else side for side in batch]
        own = own[data.draw(st.integers(0, len(own))) :]
        sides.append(laid_out(data.draw, fill((*own, rows, columns), dtype, k)))
    agree(run("MatMul", *sides), np.matmul(*sides))


@SETTINGS
@given(data=st.data(), x=arrays(("float32", "float64"), min_rank=1, min_side=1))
def test_softmax_of_any_array(data: Any, x: np.ndarray) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    agree(run("Softmax", x, axis=axis), e / e.sum(axis=axis, keepdims=True))
