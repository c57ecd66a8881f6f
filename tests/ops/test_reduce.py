"""Reductions of float32: sums over many rows stay as sharp as sums over one run."""

from __future__ import annotations

import numpy as np
import pytest

from .check import check_node


@pytest.mark.parametrize("kind", ["ReduceSum", "ReduceSumSquare", "ReduceL1"])
@pytest.mark.parametrize("n_rows", [4096, 4099])
def test_a_sum_over_rows_loses_no_more_than_its_bound(kind: str, n_rows: int) -> None:
    # Magika's layer normalisation takes E[x^2] - E[x]^2 over rows, which amplifies what
    # the sums lose. 16 rows meet in registers first, so at most n / 16 + 6 roundings of
    # 6e-8 add up, and as a random walk far fewer; one after the other 4e-6 is lost.
    rng = np.random.default_rng(5)
    x = (1 + 0.01 * rng.standard_normal((3, n_rows, 37))).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide * wide if kind == "ReduceSumSquare" else wide).sum(axis=1)
    serial = np.cumsum(x, axis=1)[:, -1]
    assert np.abs(serial / wide.sum(axis=1) - 1).max() > 2e-6
    y = check_node(kind, [x], {"axes": [1], "keepdims": 0}, opset=11)[0]
    assert np.abs(y / expected - 1).max() < 1e-6


BY_NUMPY = {
    "Max": lambda x: x.max(axis=1, keepdims=True),
    "Min": lambda x: x.min(axis=1, keepdims=True),
    "Prod": lambda x: x.prod(axis=1, keepdims=True),
    "Mean": lambda x: x.mean(axis=1, keepdims=True),
    "L2": lambda x: np.sqrt(np.square(x).sum(axis=1, keepdims=True)),
    "LogSum": lambda x: np.log(x.sum(axis=1, keepdims=True)),
}


@pytest.mark.parametrize("n_rows", [1, 2, 15, 16, 17, 33])
@pytest.mark.parametrize("kind", BY_NUMPY)
def test_blocks_of_rows_and_what_is_left(kind: str, n_rows: int) -> None:
    rng = np.random.default_rng(n_rows)
    x = rng.uniform(0.5, 1.5, (2, n_rows, 3, 21)).astype(np.float32)
    check_node(f"Reduce{kind}", [x], {"axes": [1], "keepdims": 1}, opset=13)
    check_node(f"Reduce{kind}", [x], {"axes": [0, 2], "keepdims": 0}, opset=13)
    x[1, n_rows // 2, 1, 4] = np.nan  # onnxruntime's extrema forget it
    y = check_node(
        f"Reduce{kind}",
        [x],
        {"axes": [1], "keepdims": 1},
        opset=13,
        expected=lambda x: [BY_NUMPY[kind](x)],
    )[0]
    assert np.argwhere(np.isnan(y)).tolist() == [[1, 0, 1, 4]]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("kind", ["Sum", "Mean", "Max", "L2"])
def test_few_contiguous_items_of_many_rows(kind: str, n: int) -> None:
    x = np.random.default_rng(n).standard_normal((7, 301, n)).astype(np.float32)
    y = check_node(f"Reduce{kind}", [x], {"axes": [2], "keepdims": 0}, opset=11)[0]
    assert y.shape == (7, 301)
