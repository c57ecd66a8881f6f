"""Streaming for tests: the same samples, cut into batches and merged."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np

from trimtab.metrics import Accumulator, Metric


def streamed(
    metric: Metric,
    y_true: Any,
    y_pred: Any,
    weights: Any = None,
    /,
    *,
    cuts: tuple[int, ...] = (3, 7),
    **options: Any,
) -> Accumulator:
    """Feed batches to two accumulators, the last one to the second, and merge them.

    The first one is pickled before. Samples stay in order: COCO breaks ties by it.
    """
    pair = [metric.accumulator(**options), metric.accumulator(**options)]
    edges = [0, *sorted(min(cut, len(y_true)) for cut in cuts), len(y_true)]
    for i, (begin, end) in enumerate(itertools.pairwise(edges)):
        part = None if weights is None else weights[begin:end]
        pair[i == len(cuts)].update(
            y_true[begin:end], y_pred[begin:end], sample_weight=part
        )
    both = pickle.loads(pickle.dumps(pair[0]))
    both.merge(pair[1])
    assert both.n == len(y_true)
    return both


def agree(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    """Equal to `tolerance`, relative above 1; NaN equals NaN."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
