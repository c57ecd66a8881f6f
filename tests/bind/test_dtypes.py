"""Which dtypes are taken as they are, converted, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

import trimtab

from . import models

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
UINT8, BOOL, BFLOAT16 = TensorProto.UINT8, TensorProto.BOOL, TensorProto.BFLOAT16


def load(code: int, **options) -> trimtab.Model:
    return trimtab.load_model(models.doubled(code, 1), threads=1, **options)


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (FLOAT, np.float64),
        (FLOAT, np.float16),
        (FLOAT, np.uint8),
        (FLOAT, np.int64),
        (FLOAT, np.bool_),
        (INT64, np.int32),
        (INT64, np.uint8),
        (INT32, np.int16),
    ],
)
def test_conversions_that_only_round_are_done_and_counted(code, dtype) -> None:
    model = load(code)
    x = np.array([0, 1, 1], dtype)
    np.testing.assert_array_equal(model(x), [0, 2, 2])
    assert model.stats["n_copies"] == 1
    assert model.stats["bytes_copied"] == 3 * model.inputs[0].numpy_dtype.itemsize


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (INT32, np.int64),
        (INT32, np.float32),
        (UINT8, np.int8),
        (INT64, np.uint64),
        (FLOAT, np.complex64),
        (FLOAT, "datetime64[s]"),
        (FLOAT, object),
        (FLOAT, "S3"),
        (FLOAT, "U3"),
        (FLOAT, np.longdouble),
    ],
)
def test_conversions_that_lose_values_are_refused(code, dtype) -> None:
    model = load(code)
    x = np.zeros(3, dtype)
    with pytest.raises(trimtab.InputTypeError) as error:
        model(x)
    assert "'x'" in str(error.value)
    assert model.inputs[0].dtype in str(error.value)
    assert str(x.dtype) in str(error.value)
    assert error.value.code == "BAD_INPUT_TYPE"
    assert isinstance(error.value, TypeError)
    assert model.stats["n_copies"] == 0


def test_foreign_byte_order_is_refused() -> None:
    with pytest.raises(trimtab.InputTypeError, match="byte order"):
        load(FLOAT)(np.zeros(3, ">f4"))


def test_copy_false_refuses_every_copy() -> None:
    model = load(FLOAT, copy=False)
    np.testing.assert_array_equal(model(np.ones(3, np.float32)), 2)
    with pytest.raises(trimtab.InputTypeError, match="float64"):
        model(np.ones(3))
    with pytest.raises(trimtab.InputError, match="negative strides"):
        model(np.ones(3, np.float32)[::-1])
    with pytest.raises(trimtab.InputError, match="in place"):
        model([1.0, 2.0])
    assert model.stats["n_copies"] == 0


def test_copy_can_be_chosen_for_one_run() -> None:
    model = load(FLOAT)
    with pytest.raises(trimtab.InputTypeError):
        model.run({"x": np.ones(3)}, copy=False)
    strict = load(FLOAT, copy=False)
    np.testing.assert_array_equal(strict.run({"x": np.ones(3)}, copy=True)["y"], 2)


def test_python_integers_fit_any_integer_type_that_holds_them() -> None:
    np.testing.assert_array_equal(load(INT32)([1, 2]), [2, 4])
    np.testing.assert_array_equal(load(UINT8)([1, 2]), [2, 4])
    np.testing.assert_array_equal(load(FLOAT)([1, 2]), [2, 4])
    with pytest.raises(trimtab.InputTypeError, match="do not fit"):
        load(UINT8)([300])
    with pytest.raises(trimtab.InputTypeError):
        load(INT32)([1.5])


def test_what_is_no_tensor_is_refused_by_name() -> None:
    model = load(FLOAT)
    for value in ({"a": 1}, object(), None, "text", [[1], [1, 2]]):
        with pytest.raises(trimtab.InputTypeError, match="'x'"):
            model(value)


def test_long_and_long_long_are_one_type() -> None:
    model = load(INT64)
    x = np.ones(3, np.longlong)
    np.testing.assert_array_equal(model(x), 2)
    assert model.stats["n_copies"] == 0


def test_bfloat16_comes_and_goes_as_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    model = load(BFLOAT16)
    x = np.array([1, 2.5, -3], ml_dtypes.bfloat16)
    y = model(x)
    assert y.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), [2, 5, -6])
    np.testing.assert_array_equal(model(x.view(np.uint16)), y)
    assert model.stats["n_copies"] == 0
    np.testing.assert_array_equal(model(x.astype(np.float32)), y)
    assert model.stats["n_copies"] == 1


def test_bool_outputs_are_bool_arrays() -> None:
    model = trimtab.load_model(models.is_greater(), threads=1)
    y = model(np.array([1, 3], np.float32), np.array([2, 2], np.float32))
    assert y.dtype == np.bool_
    assert y.tolist() == [False, True]
