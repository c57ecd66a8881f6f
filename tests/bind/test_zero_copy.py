"""Inputs are read and outputs are written in place: by addresses and by counting."""

from __future__ import annotations

import array
import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto

import trimtab

from . import models


def copies(model: trimtab.Model) -> tuple[int, int]:
    stats = model.stats
    return stats["n_copies"], stats["bytes_copied"]


def test_a_bound_model_reads_and_writes_the_very_addresses(
    subtract: trimtab.Model,
) -> None:
    a, b, y = (np.zeros((4, 8), np.float32) for _ in range(3))
    addresses = [x.ctypes.data for x in (a, b, y)]
    binding = subtract.bind({"a": a, "b": b}, {"y": y})
    for value in (1.0, 2.0, 3.0):
        a[...] = value
        b[...] = -value
        assert binding.run() is y
        np.testing.assert_array_equal(y, 2 * value)
    assert [x.ctypes.data for x in (*binding.inputs, *binding.outputs)] == addresses
    assert copies(subtract) == (0, 0)


def test_an_input_that_changes_between_calls_is_seen_without_a_copy(
    subtract: trimtab.Model,
) -> None:
    a, b = np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32)
    assert subtract(a, b)[0, 0] == 1
    a[0, 0] = 7
    assert subtract(a, b)[0, 0] == 7
    assert copies(subtract) == (0, 0)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[::2],
        lambda x: x[:, ::3],
        lambda x: x[1:5, 2:9],
        lambda x: np.broadcast_to(x[0], x.shape),
        lambda x: np.asfortranarray(x),
        lambda x: x[:1],
        lambda x: x[:, :1],
    ],
    ids=[
        "plain",
        "transposed",
        "rows",
        "columns",
        "inner",
        "broadcast",
        "fortran",
        "one row",
        "one column",
    ],
)
def test_strided_inputs_are_read_in_place(subtract: trimtab.Model, view) -> None:
    rng = np.random.default_rng(1)
    a = view(rng.standard_normal((12, 12)).astype(np.float32))
    b = np.ones(a.shape, np.float32)
    np.testing.assert_array_equal(subtract(a, b), a - b)
    assert copies(subtract) == (0, 0)


def test_negative_strides_are_copied_and_counted(subtract: trimtab.Model) -> None:
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    b = np.zeros_like(a)
    np.testing.assert_array_equal(subtract(a[::-1], b), a[::-1])
    assert copies(subtract) == (1, a.nbytes)
    np.testing.assert_array_equal(subtract(a[:, ::-1], b[::-1]), a[:, ::-1])
    assert copies(subtract) == (3, 3 * a.nbytes)


def test_unaligned_inputs_are_copied_and_counted(subtract: trimtab.Model) -> None:
    raw = np.zeros(4 * 12 + 1, np.uint8)
    a = raw[1:].view(np.float32).reshape(3, 4)
    assert not a.flags.aligned
    a[...] = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(subtract(a, np.zeros((3, 4), np.float32)), a)
    assert copies(subtract) == (1, a.nbytes)


def test_fields_of_structured_arrays_are_read(subtract: trimtab.Model) -> None:
    odd = np.zeros((3, 4), np.dtype([("tag", "u1"), ("v", "<f4")]))
    odd["v"] = 5
    np.testing.assert_array_equal(subtract(odd["v"], np.zeros((3, 4), np.float32)), 5)
    assert copies(subtract)[0] == 1  # 5-byte strides cannot be counted in floats
    even = np.zeros((3, 4), np.dtype([("tag", "<u4"), ("v", "<f4")]))
    even["v"] = 6
    np.testing.assert_array_equal(subtract(even["v"], np.zeros((3, 4), np.float32)), 6)
    assert copies(subtract)[0] == 1


def test_read_only_inputs_are_read_in_place(subtract: trimtab.Model) -> None:
    a = np.ones((2, 2), np.float32)
    a.flags.writeable = False
    np.testing.assert_array_equal(subtract(a, a), 0)
    assert copies(subtract) == (0, 0)


@pytest.mark.parametrize("n", [4, 4096, 1 << 20])
def test_outputs_are_new_arrays_that_belong_to_the_caller(doubled, n: int) -> None:
    x = np.ones((1, n), np.float32)
    first, second = doubled()(x), doubled()(2 * x)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, x)
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert first.flags.aligned
    np.testing.assert_array_equal(first, 2)
    np.testing.assert_array_equal(second, 4)


def test_outputs_of_medium_size_are_aligned_to_a_cache_line(doubled) -> None:
    for n in (1 << 12, 1 << 14, 1 << 18):
        assert doubled()(np.zeros((1, n), np.float32)).ctypes.data % 64 == 0


def test_an_output_outlives_the_model() -> None:
    model = trimtab.load_model(models.doubled(), threads=1)
    y = model(np.ones((64, 64), np.float32))
    del model
    np.testing.assert_array_equal(y, 2)


# ---- other kinds of memory -------------------------------------------------------


def test_buffers_are_read_in_place() -> None:
    model = trimtab.load_model(models.doubled(TensorProto.FLOAT, 1), threads=1)
    for value in (
        array.array("f", [1, 2, 3]),
        memoryview(array.array("f", [1, 2, 3])),
        (ctypes.c_float * 3)(1, 2, 3),
    ):
        np.testing.assert_array_equal(model(value), [2, 4, 6])
    assert copies(model) == (0, 0)


def test_bytes_are_unsigned_integers() -> None:
    model = trimtab.load_model(models.doubled(TensorProto.UINT8, 1), threads=1)
    for value in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        np.testing.assert_array_equal(model(value), [194, 196, 198])
    assert copies(model) == (0, 0)


class Lender:
    """A foreign tensor: nothing but DLPack."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value
        self.n_lent = 0

    def __dlpack__(self, **options: object) -> object:
        self.n_lent += 1
        return self.value.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.value.__dlpack_device__()


def test_dlpack_tensors_are_read_in_place(subtract: trimtab.Model) -> None:
    a, b = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    lender = Lender(a)
    np.testing.assert_array_equal(subtract(lender, b), 1)
    a[...] = 5
    np.testing.assert_array_equal(subtract(lender, b), 5)
    assert lender.n_lent == 2
    assert copies(subtract) == (0, 0)


def test_a_binding_follows_the_memory_of_a_dlpack_tensor(
    subtract: trimtab.Model,
) -> None:
    a, b = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    binding = subtract.bind({"a": Lender(a), "b": b})
    a[...] = 9
    np.testing.assert_array_equal(binding.run(), 9)


def test_torch_tensors_are_read_in_place(subtract: trimtab.Model) -> None:
    torch = pytest.importorskip("torch")
    a, b = torch.ones(8, 8), torch.zeros(8, 8)
    np.testing.assert_array_equal(subtract(a, b), 1)
    np.testing.assert_array_equal(subtract(a[:, ::2], b[:, ::2]), 1)
    assert copies(subtract) == (0, 0)


def test_outputs_go_out_through_dlpack_without_a_copy(doubled) -> None:
    y = doubled()(np.ones((64, 64), np.float32))
    again = np.from_dlpack(y)
    assert again.ctypes.data == y.ctypes.data
    assert memoryview(y).contiguous


@pytest.mark.parametrize(
    "value", [[[1.0, 2.0]], ((1.0, 2.0),), [np.float32(1), np.float32(2)]]
)
def test_lists_are_converted_and_counted(value) -> None:
    rank = np.ndim(value)
    model = trimtab.load_model(models.doubled(TensorProto.FLOAT, rank), threads=1)
    np.testing.assert_array_equal(np.ravel(model(value)), [2, 4])
    assert copies(model) == (1, 8)


# ---- shapes ----------------------------------------------------------------------


def test_a_scalar_gives_a_0d_array(doubled) -> None:
    for value in (np.float32(3), np.array(3, np.float32), 3.0, 3):
        y = doubled(rank=0)(value)
        assert isinstance(y, np.ndarray)
        assert y.shape == ()
        assert y == 6


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_inputs_give_empty_outputs(doubled, shape: tuple[int, int]) -> None:
    assert doubled()(np.zeros(shape, np.float32)).shape == shape


def test_more_than_ten_dims_are_refused() -> None:
    model = trimtab.load_model(models.build_any_rank(), threads=1)
    with pytest.raises(trimtab.InputError, match="at most 10 dims"):
        model(np.zeros((1,) * 11, np.float32))


DTYPES = [
    (TensorProto.FLOAT, np.float32),
    (TensorProto.DOUBLE, np.float64),
    (TensorProto.FLOAT16, np.float16),
    (TensorProto.INT8, np.int8),
    (TensorProto.UINT8, np.uint8),
    (TensorProto.INT16, np.int16),
    (TensorProto.UINT16, np.uint16),
    (TensorProto.INT32, np.int32),
    (TensorProto.UINT32, np.uint32),
    (TensorProto.INT64, np.int64),
    (TensorProto.UINT64, np.uint64),
]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(DTYPES), rank=st.integers(0, 5))
def test_any_view_of_any_array_gives_the_same_as_its_copy(data, kind, rank) -> None:
    code, dtype = kind
    shape = data.draw(st.tuples(*[st.integers(0, 5)] * rank), label="shape")
    n = int(np.prod(shape))
    base = (np.arange(n) % 50).astype(dtype).reshape(shape)
    x = base.transpose(data.draw(st.permutations(range(rank)), label="axes"))
    if rank > 0:
        index = data.draw(
            hnp.basic_indices(
                x.shape, min_dims=rank, max_dims=rank, allow_newaxis=False
            ),
            label="index",
        )
        x = x[index]
    model = _model_of(code, x.ndim)
    before = copies(model)
    y = model(x)
    np.testing.assert_array_equal(y, x + x)
    assert y.dtype == dtype
    is_negative = (
        any(
            stride < 0 and size > 1
            for stride, size in zip(x.strides, x.shape, strict=True)
        )
        and x.size > 0
    )
    expected = (1, x.nbytes) if is_negative else (0, 0)
    after = copies(model)
    if x.size > 0:
        assert (after[0] - before[0], after[1] - before[1]) == expected


_models: dict[tuple[int, int], trimtab.Model] = {}


def _model_of(code: int, rank: int) -> trimtab.Model:
    if (code, rank) not in _models:
        _models[code, rank] = trimtab.load_model(models.doubled(code, rank), threads=1)
    return _models[code, rank]
