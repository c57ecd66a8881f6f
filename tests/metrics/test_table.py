"""What holds for every metric of the table."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.metrics import METRICS, find_metric
from trimtab.metrics.table import ALIASES

from .cut import agree, streamed

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 2, 24)
BOX = {"boxes": [[0, 0, 9, 9]], "labels": [1], "scores": [0.5]}
#: A sample of what each kind of metric needs.
DATA: dict[str, tuple[Any, Any]] = {
    "labels": (CLASSES, RNG.integers(0, 2, 24)),
    "scores": (CLASSES, np.stack([1 - (s := RNG.random(24)), s], axis=1)),
    "values": (RNG.normal(size=24), RNG.normal(size=24)),
    "relevance": (RNG.integers(0, 2, (24, 5)), RNG.random((24, 5))),
    "texts": (["a b c"] * 24, ["a b", "a b c d", "a"] * 8),
    "boxes": ([BOX] * 24, [BOX, {**BOX, "boxes": [[5, 5, 9, 9]]}] * 12),
}


@pytest.mark.parametrize("name", METRICS)
def test_function_stream_and_interval_agree(name: str) -> None:
    metric = METRICS[name]
    y, p = DATA[metric.needs]
    assert metric.name == name
    whole = metric(y, p)
    agree(streamed(metric, y, p).compute(), whole)
    found = metric.interval(y, p, n_resamples=200)
    agree(found.value, whole)
    assert found.n == 24
    if name == "max_error":
        assert found.method == "none"
    else:
        assert found.low <= found.value <= found.high, found


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_refused_in_time(name: str) -> None:
    metric = METRICS[name]
    y, p = DATA[metric.needs]
    running = metric.accumulator()
    running.update(y[:0], p[:0])
    with pytest.raises(InputError, match="at least"):
        running.compute()
    running.update(y, p)
    running.update(y[:0], p[:0])
    agree(running.compute(), metric(y, p))
    empty = metric.accumulator()
    running.merge(empty)
    empty.merge(running)
    agree(empty.compute(), metric(y, p))


@pytest.mark.parametrize("name", METRICS)
def test_a_copy_goes_its_own_way_and_merging_with_itself_counts_twice(
    name: str,
) -> None:
    metric = METRICS[name]
    y, p = DATA[metric.needs]
    running = streamed(metric, y, p)
    other = running.copy()
    other.update(y[:5], p[:5])
    agree(running.compute(), metric(y, p))
    running.merge(running)
    assert (running.n, other.n) == (48, 29)


def test_better_is_better() -> None:
    """The truth itself scores at least as well as noise, in the metric's direction."""
    perfect: dict[str, Any] = {
        "labels": CLASSES,
        "scores": np.eye(2)[CLASSES],
        "values": DATA["values"][0],
        "relevance": DATA["relevance"][0],
        "texts": DATA["texts"][0],
        "boxes": [BOX] * 24,
    }
    for name, metric in METRICS.items():
        y, p = DATA[metric.needs]
        if name in ("top_k_accuracy", "hit_rate"):
            continue  # two of two classes, ten of five items: always right
        sign = 1 if metric.greater_is_better else -1
        assert sign * metric(y, perfect[metric.needs]) > sign * metric(y, p), name


def test_names_are_found() -> None:
    for alias, name in ALIASES.items():
        assert find_metric(alias) is METRICS[name]
    assert find_metric("f1_score") is METRICS["f1"]
    assert find_metric("r2_score") is METRICS["r2"]
    assert find_metric("brier_score_loss") is METRICS["brier_score"]
    assert find_metric(METRICS["r2"]) is METRICS["r2"]
    with pytest.raises(InputError, match="expected one of"):
        find_metric("accurate")


def test_streaming_needs_numpy_alone() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = sys.modules['scipy'] = None\n"
        "from trimtab.metrics import METRICS\n"
        "for name in ('accuracy', 'f1'):\n"
        "    print(METRICS[name].interval([0, 1, 1], [0, 1, 0]).n)\n"
        "try:\n"
        "    METRICS['accuracy']([0], [0])\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.startswith("3\n3\n")
    assert "pip install 'trimtab[evaluate]'" in out.stdout


def test_accumulators_of_different_metrics_do_not_merge() -> None:
    first = METRICS["precision"].accumulator()
    for other in (
        METRICS["recall"].accumulator(),
        METRICS["precision_macro"].accumulator(),
        METRICS["mean_squared_error"].accumulator(),
    ):
        with pytest.raises(InputError, match="merge: expected"):
            first.merge(other)
    METRICS["rmse" if "rmse" in METRICS else "r2"].accumulator().merge(
        METRICS["r2"].accumulator()
    )


def test_negative_and_misshapen_weights_are_refused() -> None:
    for metric in METRICS.values():
        y, p = DATA[metric.needs]
        for weights in (-np.ones(24), np.ones(5), np.full(24, np.nan)):
            with pytest.raises(InputError, match="sample_weight"):
                metric.accumulator().update(y, p, sample_weight=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        METRICS["accuracy"].interval([0, 1], [0, 1], sample_weight=[0.5, 2.0])
