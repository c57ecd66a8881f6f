"""Updates in C against NumPy's, and what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from trimtab import _core
from trimtab.train import SGD, Adam, AdamW

OPTIMIZERS: list[Any] = [
    SGD(0.1),
    SGD(0.1, momentum=0.9, dampening=0.3, weight_decay=0.02),
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.02),
    Adam(0.01, weight_decay=0.02),
    AdamW(0.01, betas=(0.8, 0.99), epsilon=1e-3, weight_decay=0.1),
]


def _updated(optimizer: Any, dtype: str, n: int, threads: int | None) -> Any:
    rng = np.random.default_rng(n)
    weights = rng.normal(size=n).astype(np.float32).astype(dtype)
    state = optimizer.begin(weights)
    for step in range(1, 6):
        gradient = rng.normal(size=n).astype(np.float32).astype(dtype)
        optimizer.update(
            weights, gradient, state, step=step, rate=0.03, threads=threads
        )
    return [weights, *state.values()]


@pytest.mark.parametrize("n", [1, 15, 16, 33, 70001])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_one_pass_in_c_is_what_numpy_does_in_double(optimizer: Any, n: int) -> None:
    ours = _updated(optimizer, "float32", n, 2)
    truth = _updated(optimizer, "float64", n, None)
    for a, b in zip(ours, truth, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_threads_do_not_change_a_bit() -> None:
    one = _updated(AdamW(), "float32", 70001, 1)
    for threads in (2, 3, None):
        for a, b in zip(one, _updated(AdamW(), "float32", 70001, threads), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_instruction_set(isa: str) -> None:
    code = (
        "from tests.train.test_optimizers import *\n"
        "from tests.train.test_against_torch import *\n"
        "for o in OPTIMIZERS:\n"
        "    test_one_pass_in_c_is_what_numpy_does_in_double(o, 33)\n"
        "test_normalisations()\n"
        "test_gelu_in_both_forms()\n"
        "test_pools()\n"
    )
    pytest.importorskip("torch")
    environment = {**os.environ, "TRIMTAB_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _call(**changes: Any) -> None:
    w, g = np.zeros(4, np.float32), np.zeros(4, np.float32)
    given = {"kind": "sgd", "w": w, "g": g, "m": None, "v": None, "threads": 1}
    given.update(changes)
    _core.update_weights(
        given["kind"], given["w"], given["g"], given["m"], given["v"],
        0.1, 0.0, 0.0, (0.0, 0.0), (1.0, 0.0), 1.0, 0.0, False, given["threads"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "adagrad"},
        {"g": np.zeros(5, np.float32)},
        {"g": np.zeros(4, np.float64)},
        {"g": np.zeros((2, 2), np.float32)},
        {"g": np.zeros(8, np.float32)[::2]},
        {"kind": "adam"},
        {"kind": "adam", "m": np.zeros(4, np.float32)},
        {"v": np.zeros(4, np.float32), "m": np.zeros(4, np.float32)},
        {"w": None},
        {"g": None},
        {"threads": -1},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, BufferError)):
        _call(**changes)


def test_weights_that_must_not_change_are_refused() -> None:
    w = np.zeros(4, np.float32)
    w.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        _call(w=w)
