"""The closed form against fits that leave a row out for real."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.update.ridge import Ridge, penalties
from trimtab.update.statistics import HeadStatistics


def brute(f, t, prior, w, penalty, ridge):
    """The minimum by solving the augmented least-squares problem.

    In the coordinates that the penalty is measured in: those of the whole data.
    """
    d = f.shape[1]
    root = np.sqrt(w)[:, None]
    wide = np.concatenate([f - ridge.mean, np.full((len(f), 1), ridge.bias_scale)], 1)
    rest = (t - f @ prior[0] - prior[1]) * root
    stacked = np.concatenate([wide * root, np.sqrt(penalty) * np.eye(d + 1)])
    aim = np.concatenate([rest, np.zeros((d + 1, t.shape[1]))])
    solved = np.linalg.lstsq(stacked, aim, rcond=None)[0]
    bias = prior[1] + ridge.bias_scale * solved[-1] - ridge.mean @ solved[:-1]
    return prior[0] + solved[:-1], bias


def problem(n, d, k, seed):
    rng = np.random.default_rng(seed)
    f = rng.standard_normal((n, d)) + 3 * rng.standard_normal(d)
    w = rng.uniform(0.2, 3, n)
    prior = rng.standard_normal((d, k)), rng.standard_normal(k)
    return f, rng.standard_normal((n, k)), prior, w


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 12),
    d=st.integers(1, 12),
    k=st.integers(1, 4),
    log=st.floats(-3, 4),
    seed=st.integers(0, 2**20),
)
def test_fits_and_left_out_rows_are_those_of_real_fits(n, d, k, log, seed):
    f, t, prior, w = problem(n, d, k, seed)
    penalty = 10**log
    ridge = Ridge(f, t, *prior, row_weights=w)
    weight, bias = ridge.solve(penalty)
    wanted = brute(f, t, prior, w, penalty, ridge)
    np.testing.assert_allclose(weight, wanted[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bias, wanted[1], rtol=1e-6, atol=1e-5)
    for i in range(n):
        rest = np.arange(n) != i
        got_w, got_b = brute(f[rest], t[rest], prior, w[rest], penalty, ridge)
        np.testing.assert_allclose(
            ridge.left_out(penalty)[i], f[i] @ got_w + got_b, rtol=1e-5, atol=1e-5
        )


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 8),
    n_old=st.integers(1, 12),
    d=st.integers(1, 8),
    log=st.floats(-3, 3),
    factor=st.just(0.0) | st.floats(0.01, 1),
    seed=st.integers(0, 2**20),
)
def test_statistics_replay_rows_that_are_gone(n, n_old, d, log, factor, seed):
    f, t, prior, w = problem(n + n_old, d, 2, seed)
    w[n:] = factor
    penalty = 10**log
    old = HeadStatistics.of(f[n:], t[n:]).decayed(factor)
    ridge = Ridge(f[:n], t[:n], *prior, row_weights=w[:n], old=old)
    weight, bias = ridge.solve(penalty)
    wanted = brute(f, t, prior, w, penalty, ridge)
    np.testing.assert_allclose(weight, wanted[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(bias, wanted[1], rtol=1e-5, atol=1e-4)
    if n + n_old * (factor > 0) > 2:
        rest = np.arange(n + n_old) != 0
        got_w, got_b = brute(f[rest], t[rest], prior, w[rest], penalty, ridge)
        np.testing.assert_allclose(
            ridge.left_out(penalty)[0], f[0] @ got_w + got_b, rtol=1e-4, atol=1e-3
        )


def test_a_large_penalty_leaves_the_prior():
    f, t, prior, w = problem(30, 5, 3, 0)
    weight, bias = Ridge(f, t, *prior, row_weights=w).solve(1e14)
    np.testing.assert_allclose(weight, prior[0], atol=1e-9)
    np.testing.assert_allclose(bias, prior[1], atol=1e-9)


def test_where_features_lie_does_not_matter():
    f, t, prior, w = problem(30, 5, 3, 0)
    moved = prior[0], prior[1] - 100 * prior[0].sum(0)
    here = Ridge(f, t, *prior, row_weights=w)
    there = Ridge(f + 100, t, *moved, row_weights=w)
    np.testing.assert_allclose(here.left_out(3.0), there.left_out(3.0), rtol=1e-7)
    np.testing.assert_allclose(here.solve(3.0)[0], there.solve(3.0)[0], rtol=1e-7)


def test_equal_rows_pull_as_one_of_that_weight():
    f, t, prior, _ = problem(6, 9, 2, 1)
    once = Ridge(f, t, *prior, row_weights=np.full(6, 3.0)).solve(0.7)
    thrice = Ridge(np.tile(f, (3, 1)), np.tile(t, (3, 1)), *prior).solve(0.7)
    np.testing.assert_allclose(once[0], thrice[0], rtol=1e-8)
    np.testing.assert_allclose(once[1], thrice[1], rtol=1e-8)


def test_penalties_rise_and_fit_the_scale():
    f, t, prior, w = problem(20, 5, 1, 2)
    small = penalties(Ridge(f, t, *prior, row_weights=w))
    large = penalties(Ridge(f * 10, t, *prior, row_weights=w))
    assert (np.diff(small) > 0).all()
    np.testing.assert_allclose(large, 100 * small)


def test_features_that_are_all_equal_can_be_fitted():
    f, t = np.ones((5, 3)), np.arange(5.0)[:, None]
    ridge = Ridge(f, t, np.zeros((3, 1)), np.zeros(1))
    weight, bias = ridge.solve(penalties(ridge)[0])
    np.testing.assert_allclose(f @ weight + bias, 2.0, rtol=1e-4)
    np.testing.assert_allclose(ridge.left_out(penalties(ridge)[0])[0], 2.5, rtol=1e-4)
    for penalty in penalties(ridge):
        assert np.isfinite(ridge.solve(penalty)[1]).all()


# ---- statistics ---------------------------------------------------------------------


def test_statistics_add_up_over_any_parts():
    f, t, _, _ = problem(20, 4, 3, 3)
    whole = HeadStatistics.of(f, t)
    parts = [
        HeadStatistics.of(f[s], t[s]) for s in (slice(7), slice(7, 8), slice(8, 20))
    ]
    merged = parts[2].merged(parts[0]).merged(parts[1])
    for name in ("gram", "cross", "squares", "n_rows"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name))


def test_the_loss_is_that_of_the_rows():
    f, t, prior, _ = problem(20, 4, 3, 3)
    b = np.arange(3.0)
    wanted = ((t - f @ prior[0] - b) ** 2).mean()
    found = HeadStatistics.of(f, t).loss(prior[0], b)
    np.testing.assert_allclose(found, wanted)
    assert HeadStatistics.of(f[:0], t[:0]).loss(prior[0], b) == 0


def test_new_classes_have_no_old_rows():
    rng = np.random.default_rng(0)
    f = rng.standard_normal((9, 4))
    t = np.where(np.eye(3)[rng.integers(0, 3, 9)] > 0, 1.0, -1.0)
    wide = np.concatenate([t, np.full((9, 2), -1.0)], axis=1)
    found, wanted = HeadStatistics.of(f, t).widened(5), HeadStatistics.of(f, wide)
    np.testing.assert_allclose(found.cross, wanted.cross)
    np.testing.assert_allclose(found.squares, wanted.squares)


def test_statistics_come_back_from_their_file(tmp_path):
    f, t, _, _ = problem(20, 4, 3, 3)
    made = HeadStatistics.of(f, t, body="sha256:ab").decayed(0.25)
    made.save(tmp_path / "s.npz")
    again = HeadStatistics.load(tmp_path / "s.npz")
    for name in ("gram", "cross", "squares", "n_rows", "body"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


def test_statistics_of_other_features_are_refused():
    f, t, _, _ = problem(20, 4, 3, 3)
    made = HeadStatistics.of(f, t, body="a")
    with pytest.raises(InputError, match="4 features and 3 outputs"):
        made.merged(HeadStatistics.of(f[:, :2], t, body="a"))
    with pytest.raises(InputError, match="other weights"):
        made.merged(HeadStatistics.of(f, t, body="b"))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        made.decayed(1.5)


BROKEN = {
    "no array": {"gram": None},
    "not square": {"gram": np.ones((5, 4))},
    "not symmetric": {"gram": np.triu(np.ones((5, 5)))},
    "NaN": {"cross": np.full((5, 3), np.nan)},
    "negative": {"squares": -np.ones(3)},
    "float32": {"gram": np.eye(5, dtype=np.float32)},
    "other targets": {"squares": np.ones(2)},
    "a scalar": {"gram": np.float64(1)},
    "many counts": {"n_rows": np.arange(3)},
    "a number as digest": {"body": np.float64(3)},
    "objects": {"body": np.array([None], object)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_of_something_else_is_refused(tmp_path, name):
    arrays = {
        "gram": np.eye(5),
        "cross": np.ones((5, 3)),
        "squares": np.ones(3),
        "n_rows": np.int64(5),
        "body": np.array("x"),
        **BROKEN[name],
    }
    path = tmp_path / "s.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match="statistics"):
        HeadStatistics.load(path)


def test_bytes_that_are_no_file_of_arrays_are_refused(tmp_path):
    path = tmp_path / "s.npz"
    for data in (b"", b"PK\x03\x04", b"x" * 100):
        path.write_bytes(data)
        with pytest.raises(InputError):
            HeadStatistics.load(path)
    with pytest.raises(InputError, match="no file"):
        HeadStatistics.load(tmp_path / "none.npz")
