"""Batches: shares, order, blending."""

from __future__ import annotations

from itertools import islice

import numpy as np

from trimtab.update.mixing import Batches, Blend

NONE = Blend(0.0, 0.0)


def pool(n: int, value: float, k: int = 3) -> list[np.ndarray]:
    x = np.full((n, 2), value, np.float32)
    x[:, 0] = np.arange(n)
    return [x, np.eye(k, dtype=np.float32)[np.arange(n) % k]]


def test_new_rows_have_their_share_of_each_batch() -> None:
    batches = Batches(
        pool(5, 1), pool(50, 0), batch_size=16, share=0.25, blend=NONE, seed=0
    )
    for x, y in islice(batches, 10):
        assert len(x) == len(y) == 16
        assert x[:, 1].sum() == 4


def test_without_old_rows_a_batch_is_of_new_ones() -> None:
    batches = Batches(pool(5, 1), None, batch_size=8, share=0.5, blend=NONE, seed=0)
    assert next(iter(batches))[0][:, 1].sum() == 8


def test_each_row_comes_as_often_as_any_other() -> None:
    batches = Batches(pool(7, 1), None, batch_size=3, share=0.5, blend=NONE, seed=0)
    seen = np.concatenate([x[:, 0] for x, _ in islice(batches, 21)])
    counts = np.bincount(seen.astype(int), minlength=7)
    assert counts.tolist() == [9] * 7


def test_mixup_draws_rows_and_labels_by_the_same_share() -> None:
    new = pool(30, 1)
    new[0][:, 1] = new[1].argmax(axis=1)  # the column is linear in the label
    batches = Batches(
        new, None, batch_size=32, share=1.0, blend=Blend(0.4, 0.0), seed=1
    )
    x, y = next(iter(batches))
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(x[:, 1], y @ np.arange(3), atol=1e-5)
    assert (y.max(axis=1) < 0.99).any()


def test_noise_is_a_share_of_what_each_column_spreads() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(5000, 2)) * [1.0, 100.0]).astype(np.float32)
    new = [x, np.zeros((5000, 1), np.float32)]
    noisy = Batches(
        new, None, batch_size=5000, share=1.0, blend=Blend(0.0, 0.5), seed=2
    )
    plain = Batches(new, None, batch_size=5000, share=1.0, blend=NONE, seed=2)
    added = next(iter(noisy))[0] - next(iter(plain))[0]
    # 5,000 draws tell a standard deviation to 1 %
    np.testing.assert_allclose(added.std(axis=0), [0.5, 50.0], rtol=0.05)


def test_whole_numbers_are_never_blended() -> None:
    tokens = [np.arange(12).reshape(6, 2), np.eye(6, dtype=np.float32)]
    batches = Batches(tokens, None, batch_size=6, share=1.0, blend=Blend(), seed=0)
    x, y = next(iter(batches))
    assert sorted(x[:, 0].tolist()) == [0, 2, 4, 6, 8, 10]
    assert set(y.ravel().tolist()) == {0.0, 1.0}


def test_a_seed_decides_everything() -> None:
    made = [
        Batches(pool(9, 1), pool(9, 0), batch_size=4, share=0.5, blend=Blend(), seed=5)
        for _ in range(2)
    ]
    for a, b in islice(zip(*made, strict=True), 5):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
