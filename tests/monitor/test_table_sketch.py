"""`_core.TableSketch` against `FeatureSketch.from_values`, NumPy and fractions."""

from __future__ import annotations

import copy
import pickle
import threading
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from trimtab import _core
from trimtab.errors import (
    InputError,
    InputTypeError,
    OutOfMemoryError,
    TrimtabError,
)
from trimtab.monitor.feature import FeatureSketch

RNG = np.random.default_rng(11)
EDGES = np.array([-2.0, -0.5, 0.0, 0.25, 1.0, 3.5])
CODES = np.array([3, -7, 0, 2**62, 9], np.int64)
FLOATS = st.one_of(
    st.floats(),
    st.floats(-4, 4),
    st.sampled_from([-0.0, 0.25, np.nan, np.inf, -np.inf, 5e-324, 1e308]),
)
TABLES = nps.arrays(
    np.float64, st.tuples(st.integers(0, 40), st.just(3)), elements=FLOATS
)


def sketch(*arrays, edges=(EDGES, None, EDGES[:1])) -> _core.TableSketch:
    """Of all of them, one after another."""
    made = _core.TableSketch(edges)
    for array in arrays:
        made.update(array)
    return made


def check_numeric(made: _core.TableSketch, column: int, values: np.ndarray) -> None:
    """Counts, range and missing values exactly; moments within half a quantum."""
    edges = made.edges[column]
    with np.errstate(all="ignore"):  # the mean and variance are compared elsewhere
        want = FeatureSketch.from_values("x", values, edges=edges)
    assert made.counts[column].tolist() == want.counts.tolist()
    assert made.counts[column].dtype == np.int64
    assert made.n[column] == want.n
    assert made.n_missing[column] == want.n_missing
    assert made.n_infinite[column] == want.n_infinite
    for name in ("minimum", "maximum"):
        found = getattr(made, name)[column]
        np.testing.assert_equal(found, getattr(want, name))
        assert not (found == 0 and np.signbit(found))


def check_moments(made: _core.TableSketch, column: int, values: np.ndarray) -> None:
    """Against exact fractions: each value is off by half a quantum at most.

    That is 2^-25 of the edges' half range, the last bit of their middle, or 2^-1022.
    """
    edges = made.edges[column]
    half = Fraction(edges[-1]) / 2 - Fraction(edges[0]) / 2
    middle = float(Fraction(edges[-1]) / 2 + Fraction(edges[0]) / 2)
    error = max(float(half) * 2.0**-26, np.spacing(abs(middle)) / 2, 2.0**-1023)
    exact = [
        Fraction(x) for x in values.astype(np.float64)[np.isfinite(values)].tolist()
    ]
    mean = sum(exact) / len(exact)
    variance = sum((x - mean) ** 2 for x in exact) / len(exact)
    std = float(variance) ** 0.5
    assert abs(made.mean[column] - float(mean)) <= error + 1e-15 * abs(float(mean))
    assert abs(np.sqrt(made.variance[column]) - std) <= 2 * error + 1e-14 * std


@given(TABLES)
@settings(deadline=None)
def test_any_table_is_counted_as_by_numpy(x):
    made = sketch(x)
    assert made.n_rows == len(x)
    for column in range(3):
        check_numeric(made, column, x[:, column])


@given(TABLES, st.lists(st.integers(0, 40), max_size=4), st.randoms())
@settings(deadline=None)
def test_parts_merged_in_any_order_give_the_bytes_of_the_whole(x, cuts, random):
    parts = [sketch(part) for part in np.split(x, sorted(cuts))]
    random.shuffle(parts)
    merged = sketch()
    for part in parts:
        merged.merge(part)
    rows = list(x)
    random.shuffle(rows)
    shuffled = sketch(*(row[None] for row in rows))
    assert merged.to_bytes() == sketch(x).to_bytes() == shuffled.to_bytes()


@given(nps.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e4, 1e4)))
@settings(deadline=None)
def test_moments_are_off_by_half_a_quantum_at_most(x):
    made = _core.TableSketch([EDGES])
    made.update(x)
    check_moments(made, 0, x)


def test_a_hundred_thousand_rows_of_eight_processes_are_those_of_one():
    x = RNG.normal(size=(100_000, 50)).astype(np.float32)
    x[RNG.random(x.shape) < 0.001] = np.nan
    edges = [np.quantile(x[np.isfinite(x)], np.linspace(0.01, 0.99, 9 + i))
             for i in range(50)]  # fmt: skip
    whole = sketch(x, edges=edges)
    parts = [
        _core.TableSketch.from_bytes(sketch(part, edges=edges).to_bytes())
        for part in np.array_split(x, 8)
    ]
    merged = whole.empty()
    for part in reversed(parts):
        merged.merge(part)
    assert merged.to_bytes() == whole.to_bytes()
    for column in range(0, 50, 7):
        check_numeric(whole, column, x[:, column].astype(np.float64))
        good = x[:, column][np.isfinite(x[:, column])].astype(np.float64)
        assert whole.mean[column] == pytest.approx(good.mean(), abs=1e-8)
        assert whole.variance[column] == pytest.approx(good.var(), rel=1e-8)
        assert whole.n_distinct[column] == pytest.approx(len(np.unique(good)), rel=0.4)


def test_fifty_columns_of_255_edges_take_less_than_64_kb():
    edges = [np.sort(RNG.normal(size=255))] * 50
    made = sketch(RNG.normal(size=(1000, 50)), edges=edges)
    assert made.nbytes <= 64 * 1024
    assert len(made.to_bytes(layout=False)) <= 64 * 1024
    made = sketch(RNG.normal(size=(1000, 50)), edges=[e[:63] for e in edges])
    assert len(made.to_bytes()) <= 64 * 1024  # with its bins


DTYPES = [
    *(np.dtype(kind) for kind in "?bBhHiIqQefd"),
    np.dtype(ml_dtypes.bfloat16),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n_rows", [1, 7, 8, 100, 700])
def test_every_dtype_counts_the_values_it_holds(dtype, n_rows):
    x = RNG.integers(0, 2 if dtype.kind == "b" else 7, (n_rows, 3)).astype(dtype)
    made = sketch(x)
    same = sketch(x.astype(np.float64))
    assert made.to_bytes() == same.to_bytes()
    assert sketch(np.asfortranarray(x)).to_bytes() == same.to_bytes()
    assert sketch(x[::-1]).to_bytes() == same.to_bytes()
    assert sketch(np.repeat(x, 2, axis=1)[:, ::2]).to_bytes() == same.to_bytes()
    by_column = sketch()
    for column in range(-3, 0):
        by_column.update(x[:, column], column=column)
    assert by_column.to_bytes() == same.to_bytes()


def test_lists_unaligned_broadcast_and_higher_dims_are_read():
    x = RNG.normal(size=(20, 3))
    want = sketch(x).to_bytes()
    assert sketch(x.tolist()).to_bytes() == want
    raw = np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(np.float64)
    assert not raw.flags.aligned
    assert sketch(raw.reshape(x.shape)).to_bytes() == want
    assert sketch(x.reshape(20, 1, 3, 1)).to_bytes() == want
    same = np.broadcast_to(x[:1], (20, 3))
    assert sketch(same).to_bytes() == sketch(same.copy()).to_bytes()
    assert sketch(np.empty((0, 3))).to_bytes() == sketch().to_bytes()


@pytest.mark.parametrize("dtype", ["q", "Q", "i", "b", "d", "e"])
def test_categories_are_looked_up_by_their_codes(dtype):
    known = [c for c in CODES.tolist() if -5 < c < 100 or dtype in "q"]
    values = [*known, 50, 50, 9]
    made = _core.TableSketch([CODES, EDGES])
    made.update(np.array(values, dtype), column=0)
    place = {code: i for i, code in enumerate(CODES.tolist())}
    want = np.bincount([place.get(v, 5) for v in values], minlength=6)
    assert made.counts[0].tolist() == want.tolist()
    assert made.n_distinct[0] == pytest.approx(len(set(values)), rel=0.2)
    assert np.isnan(made.mean[0])
    assert made.n_rows == len(values)


def test_codes_keep_all_their_64_bits():
    codes = np.array([2**62, 2**62 + 1, -(2**63), 2**63 - 1], np.int64)
    made = _core.TableSketch([codes])
    made.update(codes[:, None])
    made.update(np.tile(codes, 5)[:, None])
    made.update(codes, column=0)
    assert made.counts[0].tolist() == [7, 7, 7, 7, 0]
    made.update(codes.view(np.uint64), column=0)  # two of them are no int64
    assert made.counts[0].tolist() == [8, 8, 7, 8, 1]


def test_numbers_that_are_no_codes_are_missing_infinite_or_unseen():
    made = _core.TableSketch([CODES])
    x = np.array([3.0, 3.5, np.nan, np.inf, -np.inf, 1e300, -0.0, 2.0**62])
    made.update(x, column=0)
    made.update(x[:, None])
    assert made.counts[0].tolist() == [2, 0, 2, 2, 0, 4]
    assert made.n_missing[0] == 2
    assert made.n_infinite[0] == 4


@pytest.mark.parametrize("n", [1, 5, 20, 64, 300, 5_000, 100_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_distinct_values_are_estimated(n, dtype):
    estimates = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        values = np.unique(rng.integers(0, 2**23, 2 * n + 8))[:n].astype(dtype)
        made = _core.TableSketch([EDGES])
        made.update(np.concatenate([values, values[::2], values]))
        estimates.append(made.n_distinct[0] / len(values))
    assert np.abs(np.array(estimates) - 1).max() < 0.4  # more than 4 sigma
    assert np.mean(estimates) == pytest.approx(1, abs=0.12)
    assert _core.TableSketch([EDGES]).n_distinct[0] == 0


def test_values_beyond_the_sums_are_clamped_and_counted():
    made = _core.TableSketch([np.array([-1.0, 1.0])])
    made.update(np.array([1e300, 0.5, -1e300]))
    assert made.n_clamped[0] == 2
    assert made.mean[0] == pytest.approx(0.5 / 3, abs=1e-7)
    assert made.maximum[0] == 1e300
    assert made.counts[0].tolist() == [1, 1, 1]
    assert _core.TableSketch.from_bytes(made.to_bytes()).to_bytes() == made.to_bytes()


def test_a_scale_makes_room_and_costs_resolution():
    x = RNG.normal(size=500) * 1e20
    without = _core.TableSketch([None])
    with_scale = _core.TableSketch([None], scales=[1e20])
    without.update(x)
    with_scale.update(x)
    assert without.n_clamped[0] > 400
    assert with_scale.n_clamped[0] == 0
    assert with_scale.mean[0] == pytest.approx(x.mean(), rel=1e-6)
    with pytest.raises(InputError, match="different bins"):
        without.merge(with_scale)


@pytest.mark.parametrize(
    "edges",
    [
        [2.0],
        [1e300, 1.7e308],
        [5e-324, 1e-323],
        [1.7e9, 1.7e9 + 1],
        [-1e-40, 1e-38],
    ],
)
def test_edges_of_any_magnitude_are_exact(edges):
    low, high = edges[0], edges[-1]
    around = [np.nextafter(e, s) for e in edges for s in (-np.inf, np.inf)]
    x = np.array([*edges, *around, low / 2 + high / 2, 0.0, -low, np.nan] * 40)
    made = _core.TableSketch([np.array(edges)])
    made.update(x)
    check_numeric(made, 0, x)
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    other = made.empty()
    other.update(single)
    check_numeric(other, 0, single.astype(np.float64))
    if np.isfinite(single).any() and len(edges) > 1 and high < 1e300:
        check_moments(made, 0, x)


def test_copies_and_pickles_hold_the_same_and_live_on_their_own():
    made = sketch(RNG.normal(size=(50, 3)))
    before = made.to_bytes()
    twins = (
        made.copy(),
        copy.copy(made),
        copy.deepcopy(made),
        pickle.loads(pickle.dumps(made)),
        _core.TableSketch.from_bytes(made.to_bytes(layout=False), layout=made),
    )
    for twin in twins:
        assert twin.to_bytes() == before
        assert twin.has_bins_of(made)
        twin.update(np.zeros((1, 3)))
        assert made.to_bytes() == before != twin.to_bytes()
    made.merge(made)
    assert made.n_rows == 100
    made.clear()
    assert made.to_bytes() == made.empty().to_bytes()
    assert repr(made) == "TableSketch(n_columns=3, n_rows=0)"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_are_refused_or_given_back(data):
    made = _core.TableSketch([EDGES, CODES])
    made.update(data.draw(nps.arrays(np.float64, (3, 2), elements=FLOATS)))
    raw = bytearray(made.to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = raw[: data.draw(st.integers(0, len(raw)))]
    for mutant in (raw, cut, raw + cut):
        try:
            back = _core.TableSketch.from_bytes(bytes(mutant))
        except TrimtabError:
            continue
        assert back.to_bytes() == mutant


@pytest.mark.parametrize(
    ("edges", "error", "match"),
    [
        ([], InputError, "1 to 65536 columns"),
        ([[1.0, 1.0]], InputError, "ascend"),
        ([[2.0, 1.0]], InputError, "ascend"),
        ([[np.nan]], InputError, "finite"),
        ([[0.0, np.inf]], InputError, "finite"),
        ([np.arange(256.0)], InputError, "at most 255 edges"),
        ([np.arange(5000)], InputError, "4095"),
        ([np.zeros((2, 2))], InputError, "one dim"),
        ([3.0], InputError, "one dim"),
        ([np.array([1, 1])], InputError, "code 1 twice"),
        ([np.array([1, 2], np.int32)], InputTypeError, "int64"),
        ([["a", "b"]], InputTypeError, "real numbers"),
    ],
)
def test_bins_that_are_none_are_refused(edges, error, match):
    with pytest.raises(error, match=match):
        _core.TableSketch(edges)


@pytest.mark.parametrize("scales", [[1.0], [0.0, 1.0], [-1, 1], [np.nan, 1]])
def test_scales_that_are_none_are_refused(scales):
    with pytest.raises(InputError, match="scale"):
        _core.TableSketch([EDGES, EDGES], scales=scales)


def test_arrays_that_do_not_fit_are_refused_and_change_nothing():
    made = sketch(RNG.normal(size=(50, 3)))
    before = made.to_bytes()
    for bad in (np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3, 2)), 1.0):
        with pytest.raises(InputError, match="rows of 3 columns"):
            made.update(bad)
    for wrong in (np.zeros((2, 3), ">f8"), np.zeros((2, 3), complex), [["a"] * 3]):
        with pytest.raises(InputTypeError):
            made.update(wrong)
    for column in (3, -4):
        with pytest.raises(InputError, match="outside"):
            made.update(np.zeros(2), column=column)
    with pytest.raises(TypeError):
        made.update(np.zeros((2, 3)), axis=1)
    with pytest.raises(TypeError):
        made.merge(_core.Histogram())
    with pytest.raises(InputError, match="different bins"):
        made.merge(_core.TableSketch([EDGES]))
    with pytest.raises(InputError, match="other bins"):
        _core.TableSketch.from_bytes(
            made.to_bytes(layout=False), layout=_core.TableSketch([EDGES])
        )
    with pytest.raises(InputError, match="no layout"):
        _core.TableSketch.from_bytes(made.to_bytes(layout=False))
    assert made.to_bytes() == before


def test_memory_that_is_not_there_is_reported_and_changes_nothing():
    made = sketch(RNG.normal(size=(50, 3)))
    large = RNG.normal(size=(20_000, 3))
    before = made.to_bytes()
    calls = (
        made.copy,
        made.empty,
        lambda: _core.TableSketch([EDGES, CODES]),
        lambda: _core.TableSketch.from_bytes(before),
        lambda: made.update(large),
    )
    for call in calls:
        for k in range(1, 40):
            assert made.to_bytes() == before
            _core.fail_alloc(k)
            try:
                call()
            except (OutOfMemoryError, MemoryError):
                continue
            finally:
                _core.fail_alloc(0)
            break
        assert 3 < k < 39
    assert made.n_rows == 20_050


def test_threads_may_update_merge_and_read_one_sketch():
    made = sketch()
    small, large = RNG.normal(size=(5, 3)), RNG.normal(size=(20_000, 3))
    other = sketch(small)
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def work(kind: int) -> None:
        start.wait()
        try:
            for _ in range(20):
                (
                    lambda: made.update(small),
                    lambda: made.update(large),
                    lambda: made.merge(other),
                    lambda: _core.TableSketch.from_bytes(made.to_bytes()),
                )[kind % 4]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    want = sketch(*[small] * 80, *[large] * 40)
    assert made.to_bytes() == want.to_bytes()


def test_two_sketches_may_be_merged_into_each_other_at_once():
    a, b = sketch(np.zeros((1, 3))), sketch(np.ones((1, 3)))

    def into(x: _core.TableSketch, y: _core.TableSketch) -> None:
        for _ in range(20):
            x.merge(y)

    threads = [threading.Thread(target=into, args=pair) for pair in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert a.n_rows + b.n_rows > 40
