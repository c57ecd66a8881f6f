"""Two ways to prepare the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.monitor.test_reference import softmax_model

import trimtab
from trimtab.errors import InputError
from trimtab.monitor.skew import compare_pipelines

ROWS = [
    np.random.default_rng(i).normal(size=(1, 4)).astype(np.float32) for i in range(9)
]


def half(x: np.ndarray) -> np.ndarray:
    return x / 2


def test_equal_pipelines_have_no_skew() -> None:
    report = compare_pipelines(ROWS, half, lambda x: x * np.float32(0.5))
    assert report.ok
    assert report.tensors[0].n_rows == 9


def test_one_column_that_differs_is_named() -> None:
    def other(x: np.ndarray) -> np.ndarray:
        y = half(x)
        y[:, 2] += 0.1 * (x[:, 2] > 0)
        return y

    report = compare_pipelines(ROWS, half, other)
    [skew] = report.tensors
    expected = [i for i, x in enumerate(ROWS) if x[0, 2] > 0]
    assert skew.n_different == len(expected)
    assert skew.columns == (2,)
    assert skew.examples == tuple(expected[:5])
    json.dumps(report.to_dict(), allow_nan=False)
    assert "different" in str(report)


@pytest.mark.parametrize(
    ("serving", "reason"),
    [
        (lambda x: x.T, "shape"),
        (lambda x: x.astype(np.int64), "type"),
        (lambda x: {"other": x}, "missing"),
    ],
)
def test_what_differs_beside_values_is_told(serving: Any, reason: str) -> None:
    report = compare_pipelines(
        ROWS, lambda x: {"x": x} if reason == "missing" else x, serving
    )
    assert not report.ok
    assert report.tensors[0].reason == reason


def test_nan_equals_nan_and_nothing_else() -> None:
    x = np.array([np.nan, 1.0, np.inf])
    assert compare_pipelines([x], np.copy, np.copy).ok
    for i in (0, 2):
        y = x.copy()
        y[i] = 1.0
        assert not compare_pipelines([x], np.copy, lambda _, y=y: y).ok


def test_a_deployment_is_compared_by_its_steps(tmp_path: Path) -> None:
    deployment = trimtab.deploy_model(
        softmax_model(tmp_path / "m.onnx"), preprocess_input=half
    )
    assert compare_pipelines(ROWS, half, deployment).ok
    assert compare_pipelines(ROWS, half, deployment.pipeline).ok
    assert not compare_pipelines(ROWS, np.copy, deployment).ok


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError):
        compare_pipelines([], half, half)
    with pytest.raises(InputError):
        compare_pipelines(ROWS, half, half, tolerance=-1.0)
    with pytest.raises(InputError):
        compare_pipelines(ROWS, half, 3)  # type: ignore[arg-type]
