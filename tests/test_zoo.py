"""Every model of the zoo against onnxruntime, and against what it must mean.

The largest error relative to the range of the output is at most 1e-5, with the same
argmax. A few nets (`AMPLIFIES`) amplify rounding so much that two correct engines
differ by more; both are held against float64 there, which is a weaker claim.

The files are fetched by package name into the cache. Where one cannot be had the
test is skipped with the reason, except under CI, where it fails.
"""

from __future__ import annotations

import os
from functools import cache
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pytest
from zoo import MODELS, Tensors, ZooModel, ZooUnavailable, run_onnxruntime
from zoo.truth import run_float64

import trimtab

pytestmark = pytest.mark.zoo

# Both engines compute in float32 and sum in different orders; over some hundred
# layers that stays within about 100 units of the last place of the largest value.
TOLERANCE = 1e-5
# Nets that amplify rounding beyond that: onnxruntime's own largest error against
# float64, and trimtab's, in units of the range (AVX-512, November 2026). Only these
# are held against float64; every other model must meet TOLERANCE.
AMPLIFIES = {
    "basic_pitch": "4e-3 and 8e-4: logarithms of bins that nearly cancel",
    "oww_hey_mycroft": "1.4e-4 and 1.3e-6: the output is a probability of 4e-5",
    "ppocr4_det": "1.7e-5 and 5.0e-5: a sharpened sigmoid",
    "ppocr4_rec": "3.0e-6 and 1.1e-5: a softmax over 6,625 sharp scores",
    "whisper_encoder": "4.5e-5 and 2.3e-6: outliers before the last normalization",
}
# There trimtab's error may be at most this many times onnxruntime's. It is more than
# 1 because of ppocr4_det: its error is 1.6 to 2.9 times onnxruntime's (RMS 1.8 to 2.6),
# and so is that of OpenVINO, which computes with oneDNN too (ppocr4_rec: 1.1e-5).
AS_SHARP = 4.0
# An oracle in float64 further off than this is broken, and proves nothing.
TRUSTED = 1e-2


@cache
def load(name: str) -> trimtab.Model:
    return trimtab.load_model(MODELS[name].path(), fallback=False)


def run(name: str, inputs: Tensors) -> Tensors:
    return load(name).run(inputs)


def unavailable(reason: ZooUnavailable) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"the zoo must be complete under CI: {reason}")
    pytest.skip(str(reason))


def value_range(array: npt.NDArray[np.generic]) -> float:
    """From the least value (or 0) to the largest (or 0): of one value, its size."""
    return float(max(array.max(), 0) - min(array.min(), 0)) or 1.0


def max_error(got: npt.NDArray[np.generic], want: npt.NDArray[np.generic]) -> float:
    """The largest difference, in units of the range of what is wanted."""
    gap = got.astype(np.float64) - want.astype(np.float64)
    return float(np.abs(gap).max() / value_range(want))


def difference(got: npt.NDArray[np.generic], want: npt.NDArray[np.generic]) -> str:
    """Why an output is wrong whatever the rounding, or nothing."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{want.dtype}{want.shape} expected, got {got.dtype}{got.shape}"
    if want.dtype.kind != "f":
        return "" if np.array_equal(got, want) else "integers differ"
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return f"{(~np.isfinite(got)).sum()} values are not finite"
    return ""


def lost_by_argmax(
    got: npt.NDArray[np.generic], want: npt.NDArray[np.generic]
) -> float:
    """How far the classes that `got` chooses are below the best, per range."""
    rows = want.reshape(-1, want.shape[-1]).astype(np.float64)
    chosen = got.reshape(rows.shape).argmax(axis=-1)[:, None]
    lost = rows.max(axis=-1) - np.take_along_axis(rows, chosen, axis=-1)[:, 0]
    return float(lost.max() / value_range(want))


def compare(model: ZooModel, inputs: Tensors) -> list[str]:
    """What is wrong with the outputs for one set of inputs."""
    got, want = run(model.name, inputs), run_onnxruntime(model.path(), inputs)
    if list(got) != list(want):
        return [f"outputs {list(want)} expected, got {list(got)}"]
    faults, truth = [], None
    for name, array in want.items():
        if fault := difference(got[name], array):
            faults.append(f"{name!r}: {fault}")
            continue
        if array.size == 0 or array.dtype.kind != "f":
            continue
        error, tolerance = max_error(got[name], array), TOLERANCE
        if error > tolerance and model.name in AMPLIFIES:
            truth = truth or run_float64(model.path(), inputs)
            theirs = max_error(array, truth[name])
            assert theirs < TRUSTED, f"float64 is {theirs:.1e} off for {name!r}"
            error = max_error(got[name], truth[name])
            tolerance = max(TOLERANCE, AS_SHARP * theirs)
        if error > tolerance:
            faults.append(
                f"{name!r}: error {error:.2e} of the range, not {tolerance:.2e}"
            )
        if (lost := lost_by_argmax(got[name], array)) > tolerance:
            faults.append(f"{name!r}: another argmax, {lost:.2e} of the range below")
    return faults


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_outputs_agree_with_onnxruntime(model: ZooModel) -> None:
    try:
        model.path()
        cases = {"main": model.inputs(), **model.more_inputs()}
    except ZooUnavailable as reason:
        unavailable(reason)
    faults = [
        f"{case}: output {fault}"
        for case, inputs in cases.items()
        for fault in compare(model, inputs)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_outputs_mean_what_they_must(model: ZooModel) -> None:
    try:
        model.path()
        inputs = model.inputs()
    except ZooUnavailable as reason:
        unavailable(reason)
    model.check(run(model.name, inputs))
    try:
        model.check_scenario(run)
    except ZooUnavailable as reason:
        unavailable(reason)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_wrong_answer_is_noticed(model: ZooModel) -> None:
    """The meaning checks themselves: zeros mean nothing."""
    try:
        inputs, path = model.inputs(), model.path()
    except ZooUnavailable as reason:
        unavailable(reason)
    right = run_onnxruntime(path, inputs)
    model.check(right)
    if model.name == "oww_hey_mycroft":
        wrong = {name: np.ones_like(array) for name, array in right.items()}
    else:
        wrong = {name: np.zeros_like(array) for name, array in right.items()}
    with pytest.raises((AssertionError, IndexError)), np.errstate(all="ignore"):
        model.check(wrong)
