"""`_core.Histogram` and `_core.ChannelStatistics` against NumPy."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from trimtab import _core
from trimtab.errors import InputError, InputTypeError, OutOfMemoryError

RNG = np.random.default_rng(3)
FLOATS = nps.arrays(
    np.float32,
    nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40),
    elements=st.floats(width=32),
)
MODERATE = nps.arrays(
    np.float32,
    st.integers(0, 300),
    elements=st.one_of(
        st.floats(-100, 100, width=32), st.just(0.0), st.just(float("nan"))
    ),
)


def histogram(*arrays) -> _core.Histogram:
    """Of all of them, one after another."""
    made = _core.Histogram()
    for array in arrays:
        made.update(array)
    return made


def check_against_numpy(made: _core.Histogram, values: np.ndarray) -> None:
    """Counts from the edges by np.histogram, the rest from the definition."""
    flat = np.asarray(values).ravel().astype(np.float64)
    finite = flat[np.isfinite(flat)]
    assert made.n == finite.size
    assert made.n_nonfinite == flat.size - finite.size
    assert made.counts.dtype == np.int64
    assert made.counts.shape == (2048,)
    assert made.counts.sum() == finite.size
    if finite.size == 0:
        assert (made.minimum, made.maximum) == (np.inf, -np.inf)
        assert made.width == made.low_edge == made.mean == made.mean_square == 0.0
        return
    assert (made.minimum, made.maximum) == (finite.min(), finite.max())
    assert np.frexp(made.width)[0] == 0.5  # a power of two
    with np.errstate(over="ignore"):  # bins above the range may end beyond doubles
        edges = (made.low_edge / made.width + np.arange(2049)) * made.width
    # half open everywhere: np.histogram would put the last edge into the last bin
    expected = np.histogram(finite, np.append(edges, np.inf))[0]
    np.testing.assert_array_equal(made.counts, expected[:2048])
    assert edges[0] <= made.minimum < edges[1]
    largest = np.abs(finite).max()
    assert abs(made.mean - finite.mean()) <= 1e-12 * largest
    # 1e-8: of numbers near 1e9 with spread 1, a double's mean has 16 digits
    np.testing.assert_allclose(made.variance, finite.var(), rtol=1e-8, atol=1e-290)
    mean_square = np.mean(finite**2)
    np.testing.assert_allclose(made.mean_square, mean_square, rtol=1e-9, atol=1e-290)


@settings(max_examples=150, deadline=None)
@given(FLOATS)
def test_counts_are_those_of_numpy_for_any_floats(values: np.ndarray) -> None:
    check_against_numpy(histogram(values), values)


@pytest.mark.parametrize(
    "values",
    [
        RNG.standard_normal(100_000).astype(np.float32),
        RNG.standard_normal(100_000),
        RNG.standard_normal(5000).astype(np.float16),
        RNG.integers(-128, 128, 9000).astype(np.int8),
        RNG.integers(0, 65536, 9000).astype(np.uint16),
        RNG.integers(-(2**31), 2**31, 9000).astype(np.int32),
        RNG.integers(-(2**50), 2**50, 9000),
        RNG.integers(0, 2, 9000).astype(bool),
        1e9 + RNG.standard_normal(10_000),
        np.array([1e300, -1e-300, 5.0, np.nan]),
        np.array([1e-310, -1e308, 1e308]),
        np.full(70_000, 0.1, np.float32),
        np.float32(2.5),
        [1, 2, 3.5],
        7,
    ],
    ids=lambda values: f"{np.asarray(values).dtype}-{np.asarray(values).size}",
)
@pytest.mark.filterwarnings("ignore:overflow encountered")  # in NumPy's variance
def test_every_dtype_is_read_as_its_numbers(values) -> None:
    check_against_numpy(histogram(values), values)


def test_bfloat16_is_read_as_its_numbers() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = RNG.standard_normal(5000).astype(ml_dtypes.bfloat16)
    check_against_numpy(histogram(values), values.astype(np.float64))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::2, ::-1],
        lambda x: x.T,
        lambda x: x[3:5, 7:],
        lambda x: x.transpose(1, 0)[::-3],
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: np.lib.stride_tricks.sliding_window_view(x[0], 5),
        lambda x: x[:, :0],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32),
        lambda x: memoryview(x),
    ],
)
def test_any_strides_are_read_in_place(view) -> None:
    x = RNG.standard_normal((60, 700)).astype(np.float32)
    check_against_numpy(histogram(view(x)), np.asarray(view(x)))


def same(a: _core.Histogram, b: _core.Histogram) -> None:
    np.testing.assert_array_equal(a.counts, b.counts)
    for name in ("n", "n_nonfinite", "minimum", "maximum", "width", "low_edge"):
        assert getattr(a, name) == getattr(b, name), name
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(a.mean_square, b.mean_square, rtol=1e-9, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(st.lists(MODERATE, max_size=6), st.randoms(use_true_random=False))
def test_parts_in_any_order_are_the_whole(parts: list[np.ndarray], random) -> None:
    whole = histogram(np.concatenate([*parts, np.zeros(0, np.float32)]))
    random.shuffle(parts)
    same(histogram(*parts), whole)
    merged = _core.Histogram()
    for part in parts:
        merged.merge(histogram(part))
    same(merged, whole)


def test_a_range_that_doubles_again_and_again_loses_no_count() -> None:
    made = _core.Histogram()
    values = []
    for power in range(-140, 127, 3):
        values.append(np.float32([2.0**power, -(2.0 ** (power - 1)), 0.0]))
        made.update(values[-1])
        assert made.counts.sum() == made.n == 3 * len(values)
    check_against_numpy(made, np.concatenate(values))


@settings(max_examples=50, deadline=None)
@given(MODERATE)
def test_bytes_bring_the_same_back(values: np.ndarray) -> None:
    made = histogram(values)
    data = made.to_bytes()
    assert len(data) <= 64 + 8 * 2048
    for back in (
        _core.Histogram.from_bytes(data),
        pickle.loads(pickle.dumps(made)),
        copy.deepcopy(made),
    ):
        assert back.to_bytes() == data
        same(back, made)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for kind in (_core.Histogram, _core.ChannelStatistics):
        with pytest.raises(InputError):
            kind.from_bytes(data)
        with pytest.raises(InputError):
            kind.from_bytes(kind().to_bytes()[:8] + data[:20])


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, b"\xff" * 8),  # n is -1
        (8, (1 << 62).to_bytes(8, "little")),  # n is not the sum of the counts
        (24, np.float64(np.nan).tobytes()),  # minimum
        (24, np.float64(-1e308).tobytes()),  # range and counts contradict
        (32, np.float64(-5).tobytes()),  # maximum below minimum
        (40, np.float64(99).tobytes()),  # mean outside of the range
        (48, np.float64(-1).tobytes()),  # m2
        (56, b"\xff" * 8),  # a count
    ],
)
def test_bytes_that_contradict_themselves_are_refused(offset, value) -> None:
    data = bytearray(histogram(np.float32([0.0, 1.0, 2.0])).to_bytes())
    data[offset : offset + 8] = value
    with pytest.raises(InputError, match="contradict"):
        _core.Histogram.from_bytes(data)


@pytest.mark.parametrize("kind", [_core.Histogram, _core.ChannelStatistics])
@pytest.mark.parametrize(
    "value",
    ["text", object(), np.array(["a"]), np.zeros(3, complex)],
    ids=["text", "object", "letters", "complex"],
)
def test_what_is_no_array_of_numbers_is_refused(kind, value) -> None:
    made = kind()
    with pytest.raises(InputTypeError):
        made.update(value)
    with pytest.raises(InputTypeError, match="byte order"):
        made.update(np.zeros(3, ">f4"))
    assert made.to_bytes() == kind().to_bytes()


def test_a_histogram_merges_only_with_its_like() -> None:
    with pytest.raises(TypeError, match="expected a Histogram"):
        _core.Histogram().merge(_core.ChannelStatistics())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a ChannelStatistics"):
        _core.ChannelStatistics().merge(_core.Histogram())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.Histogram(1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [_core.Histogram, _core.ChannelStatistics])
def test_an_update_without_memory_leaves_it_as_it_was(kind) -> None:
    made = kind()
    made.update(np.ones((2, 3), np.float32))
    before = made.to_bytes()
    large = RNG.standard_normal((3000, 3)).astype(np.float32)
    n_failed = 0
    for k in range(1, 20):
        _core.fail_alloc(k, True)
        try:
            made.update(large)
            break
        except OutOfMemoryError:
            n_failed += 1
            assert made.to_bytes() == before
        finally:
            _core.fail_alloc(0)
    assert n_failed >= 2


def test_threads_may_update_one_histogram_at_once() -> None:
    arrays = [RNG.standard_normal(50_000).astype(np.float32) for _ in range(8)]
    made = _core.Histogram()
    threads = [threading.Thread(target=made.update, args=(a,)) for a in arrays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(made, histogram(*arrays))


ISA = """
import numpy as np
from trimtab import _core
x = np.random.default_rng(0).standard_normal((60, 40, 33)).astype(np.float32)
x[::7, 3] = np.nan
h, c = _core.Histogram(), _core.ChannelStatistics()
for array in (x, x[:, :, ::2], x.T, x * 1e30, x * 1e-42):
    h.update(array)
for axis, array in ((1, x), (0, x.T[:40])):
    c = _core.ChannelStatistics(); c.update(array, axis=axis)
    print(*(v.round(9).tolist() for v in (c.n, c.minimum, c.maximum, c.mean)))
print(h.counts.tolist(), h.n, h.n_nonfinite, h.minimum, h.maximum, round(h.mean, -20))
"""


def test_every_instruction_set_counts_the_same() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", ISA],
            env={**os.environ, "TRIMTAB_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for isa in ("scalar", "avx2", "avx512")
    }
    assert len(outputs) == 1


# ---- channels ---------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    nps.arrays(
        np.float32,
        nps.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9),
        elements=st.one_of(st.floats(-1e3, 1e3, width=32), st.just(float("inf"))),
    ),
    st.data(),
)
def test_channels_are_those_of_numpy(values: np.ndarray, data) -> None:
    axis = data.draw(st.integers(-values.ndim, values.ndim - 1))
    values = values.transpose(data.draw(st.permutations(range(values.ndim))))
    made = _core.ChannelStatistics()
    made.update(values, axis=axis)
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(float)
    is_finite = np.isfinite(rows)
    assert made.n_channels == len(rows)
    assert made.n_nonfinite == (~is_finite).sum()
    np.testing.assert_array_equal(made.n, is_finite.sum(axis=1))
    for row, keep, low, high, mean, absmax in zip(
        rows, is_finite, made.minimum, made.maximum, made.mean, made.absmax, strict=True
    ):
        kept = row[keep]
        if kept.size == 0:
            assert (low, high, mean, absmax) == (np.inf, -np.inf, 0.0, 0.0)
            continue
        assert (low, high, absmax) == (kept.min(), kept.max(), np.abs(kept).max())
        assert abs(mean - kept.mean()) < 1e-9


def test_channels_merge_and_go_to_bytes_and_back() -> None:
    x = RNG.standard_normal((40, 5, 8)).astype(np.float32)
    whole, merged = _core.ChannelStatistics(), _core.ChannelStatistics()
    whole.update(x, axis=1)
    for part in (x[30:], x[:7], x[7:30]):
        made = _core.ChannelStatistics()
        made.update(part, axis=1)
        merged.merge(pickle.loads(pickle.dumps(made)))
    np.testing.assert_array_equal(merged.absmax, whole.absmax)
    np.testing.assert_array_equal(merged.n, whole.n)
    np.testing.assert_allclose(merged.mean, whole.mean, atol=1e-12)


def test_another_number_of_channels_is_refused() -> None:
    made = _core.ChannelStatistics()
    made.update(np.zeros((2, 3), np.float32))
    for size in (4, 5000):  # read with the GIL, and without
        with pytest.raises(InputError, match="expected 3 channels"):
            made.update(np.zeros((2, size), np.float32))
    with pytest.raises(InputError, match="axis 2"):
        made.update(np.zeros((2, 3), np.float32), axis=2)
    with pytest.raises(InputError, match="axis -1"):
        made.update(np.float32(1))
    assert made.n_channels == 3
