"""out= arrays: written in place, through a temporary, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

import trimtab

from . import models


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4)).astype(np.float32)
    return a, b


def test_a_row_major_array_is_written_in_place(subtract: trimtab.Model, pair) -> None:
    a, b = pair
    y = np.full((3, 4), np.nan, np.float32)
    address = y.ctypes.data
    results = subtract.run({"a": a, "b": b}, out={"y": y})
    assert results["y"] is y
    assert y.ctypes.data == address
    np.testing.assert_array_equal(y, a - b)
    assert subtract.stats["n_copies"] == 0


def test_a_part_of_a_larger_array_can_be_the_output(
    subtract: trimtab.Model, pair
) -> None:
    a, b = pair
    whole = np.zeros((9, 4), np.float32)
    subtract.run({"a": a, "b": b}, out={"y": whole[3:6]})
    np.testing.assert_array_equal(whole[3:6], a - b)
    assert not whole[:3].any()
    assert not whole[6:].any()
    assert subtract.stats["n_copies"] == 0


@pytest.mark.parametrize(
    "view",
    [lambda y: y.T, lambda y: y[:, ::2], lambda y: y[::-1], lambda y: y[:, 1:5]],
    ids=["transposed", "columns", "reversed", "inner"],
)
def test_a_strided_array_is_written_through_a_temporary(
    subtract: trimtab.Model, view
) -> None:
    whole = np.zeros((8, 8), np.float32)
    y = view(whole)
    a = np.arange(y.size, dtype=np.float32).reshape(y.shape)
    results = subtract.run({"a": a, "b": np.ones_like(a)}, out={"y": y})
    assert results["y"] is y
    np.testing.assert_array_equal(y, a - 1)
    assert whole.sum() == y.sum()
    assert subtract.stats["n_copies"] == 1
    assert subtract.stats["bytes_copied"] == y.nbytes
    with pytest.raises(trimtab.InputError, match="row-major"):
        subtract.run({"a": a, "b": a}, out={"y": y}, copy=False)


def test_outputs_without_an_array_are_made() -> None:
    model = trimtab.load_model(models.two_outputs(), threads=1)
    a, b = np.ones((2, 2), np.float32), np.full((2, 2), 3, np.float32)
    d = np.empty((2, 2), np.float32)
    results = model.run({"a": a, "b": b}, out={"d": d})
    assert results["d"] is d
    np.testing.assert_array_equal(d, -2)
    np.testing.assert_array_equal(results["s"], 4)


def refused(model: trimtab.Model, a, b, y) -> str:
    before = y.copy() if isinstance(y, np.ndarray) else None
    with pytest.raises(trimtab.InputError) as error:
        model.run({"a": a, "b": b}, out={"y": y})
    if before is not None:
        np.testing.assert_array_equal(y, before)
    return str(error.value)


def test_what_does_not_fit_is_refused_and_left_alone(
    subtract: trimtab.Model, pair
) -> None:
    a, b = pair
    read_only = np.zeros((3, 4), np.float32)
    read_only.flags.writeable = False
    assert "read-only" in refused(subtract, a, b, read_only)
    assert "[3,4]" in refused(subtract, a, b, np.zeros((4, 3), np.float32))
    assert "(4, 3)" in refused(subtract, a, b, np.zeros((4, 3), np.float32))
    assert "float64" in refused(subtract, a, b, np.zeros((3, 4)))
    assert ">f4" in refused(subtract, a, b, np.zeros((3, 4), ">f4"))
    assert "list" in refused(subtract, a, b, [[0.0] * 4] * 3)
    assert "'b'" in refused(subtract, a, b, b)
    whole = np.zeros((4, 4), np.float32)
    assert "shares memory with input 'a'" in refused(subtract, whole[:3], b, whole[1:])


def test_outputs_that_share_memory_are_refused() -> None:
    model = trimtab.load_model(models.two_outputs(), threads=1)
    a = np.ones((2, 2), np.float32)
    y = np.zeros((3, 2), np.float32)
    with pytest.raises(trimtab.InputError, match="'d' shares memory with out 's'"):
        model.run({"a": a, "b": a}, out={"s": y[:2], "d": y[1:]})
    model.run({"a": a, "b": a}, out={"s": y[:2]})
    np.testing.assert_array_equal(y, [[2, 2], [2, 2], [0, 0]])


def test_an_unknown_output_is_refused(subtract: trimtab.Model, pair) -> None:
    with pytest.raises(trimtab.InputError, match="'z'"):
        subtract.run(pair, out={"z": pair[0]})
    with pytest.raises(trimtab.InputError, match="'z'"):
        subtract.run(pair, outputs=["z"])


# ---- bindings ----------------------------------------------------------------------


def test_a_binding_makes_the_outputs_it_is_not_given() -> None:
    model = trimtab.load_model(models.two_outputs(), threads=1)
    a, b = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)
    binding = model.bind({"a": a, "b": b})
    s, d = binding.run()
    np.testing.assert_array_equal(s, 1)
    b[...] = 2
    assert binding.run() is binding.outputs
    np.testing.assert_array_equal(s, 3)
    np.testing.assert_array_equal(d, -1)


@pytest.mark.parametrize(
    "bad",
    [
        lambda a: a.astype(np.float64),
        lambda a: a[::-1],
        lambda a: a.tolist(),
    ],
    ids=["dtype", "negative strides", "list"],
)
def test_a_binding_takes_nothing_that_must_be_copied(
    subtract: trimtab.Model, pair, bad
) -> None:
    a, b = pair
    with pytest.raises(trimtab.InputError, match="'a'"):
        subtract.bind({"a": bad(a), "b": b})
    with pytest.raises(trimtab.InputError, match="row-major"):
        subtract.bind({"a": a, "b": b}, {"y": np.empty((4, 3), np.float32).T})


def test_a_binding_reads_strided_inputs(subtract: trimtab.Model) -> None:
    whole = np.arange(48, dtype=np.float32).reshape(6, 8)
    a, b = whole[::2, ::2], whole.T[:3, :4]
    binding = subtract.bind({"a": a, "b": b})
    np.testing.assert_array_equal(binding.run(), a - b)
    whole *= -3
    np.testing.assert_array_equal(binding.run(), a - b)


def test_a_binding_keeps_its_arrays_and_the_engine_alive() -> None:
    model = trimtab.load_model(models.subtract(), threads=1)
    a = np.full((64, 64), 5, np.float32)
    binding = model.bind({"a": a, "b": np.full((64, 64), 2, np.float32)})
    del a
    model.close()
    del model
    np.testing.assert_array_equal(binding.run(), 3)


def test_a_model_whose_shapes_depend_on_data_cannot_be_bound() -> None:
    model = trimtab.load_model(models.non_zero(), threads=1)
    with pytest.raises(trimtab.InputError, match="depend on the data"):
        model.bind({"x": np.ones(3, np.float32)})


# ---- shapes that depend on data ----------------------------------------------------


def test_outputs_of_unknown_size_are_arrays_of_their_own() -> None:
    model = trimtab.load_model(models.non_zero(), threads=1)
    for values in ([0, 1, 0, 2], [0, 0, 0, 0], [1, 1, 1, 1]):
        x = np.array(values, np.float32)
        y = model(x)
        np.testing.assert_array_equal(y, np.nonzero(x))
        assert y.dtype == np.int64
        assert y.flags.writeable
        assert y.flags.c_contiguous


def test_outputs_of_unknown_size_go_to_out_by_a_counted_copy() -> None:
    model = trimtab.load_model(models.non_zero(), threads=1)
    y = np.zeros((1, 2), np.int64)
    x = np.array([0, 1, 0, 2], np.float32)
    assert model.run({"x": x}, out={"y": y})["y"] is y
    assert y.tolist() == [[1, 3]]
    assert model.stats["n_copies"] == 1
    with pytest.raises(trimtab.InputError, match="shape"):
        model.run({"x": np.ones(4, np.float32)}, out={"y": y})
