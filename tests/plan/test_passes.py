"""Every pass on and off gives what onnxruntime gives, and does what it is for."""

from __future__ import annotations

import numpy as np
import pytest

import trimtab
from trimtab import _core

from .graphs import CASES

onnxruntime = pytest.importorskip("onnxruntime")

#: float32 sums in another order: a few roundings relative to the output's range.
TOLERANCE = 1e-5

PASSES = list(_core.PASSES)
SETTINGS = {
    "all": PASSES,
    "none": [],
    **{f"without_{name}": [p for p in PASSES if p != name] for name in PASSES},
    **{f"only_{name}": [name] for name in PASSES},
}


def reference(content: bytes, inputs: dict) -> dict:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CASES)
def test_pass_setting_agrees_with_onnxruntime(name: str, setting: str) -> None:
    content, inputs = CASES[name].build(np.random.default_rng(len(name)))
    expected = reference(content, inputs)
    model = trimtab.load_model(content, fallback=False, passes=SETTINGS[setting])
    for _ in range(2):  # the second run reuses a context
        outputs = model.run(inputs)
        assert list(outputs) == list(expected)
        for key, wanted in expected.items():
            scale = np.abs(wanted).max() + 1e-30
            assert outputs[key].shape == wanted.shape
            assert np.abs(outputs[key] - wanted).max() / scale <= TOLERANCE, key


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.n_steps or c.fused])
def test_optimised_plan_has_the_steps_it_should(name: str) -> None:
    case = CASES[name]
    content, inputs = case.build(np.random.default_rng(len(name)))
    model = trimtab.load_model(content, fallback=False, threads=1)
    nodes = model.profile(inputs).nodes
    seen = " | ".join(f"{n.op_type}: {', '.join(n.fused)}" for n in nodes)
    if case.n_steps is not None:
        assert len(nodes) == case.n_steps, seen
    assert case.fused in seen


def test_pads_of_zeros_become_padding_of_convolutions() -> None:
    content, inputs = CASES["pads_of_zeros"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False, threads=1)
    assert "Pad" not in {n.op_type for n in model.profile(inputs).nodes}
    content, inputs = CASES["pads_that_stay"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False, threads=1)
    assert len([n for n in model.profile(inputs).nodes if n.op_type == "Pad"]) >= 6


def test_a_softmax_that_is_an_output_is_written_where_the_caller_wants_it() -> None:
    content, inputs = CASES["shape_arithmetic"].build(np.random.default_rng(0))
    nodes = trimtab.load_model(content, threads=1).profile(inputs).nodes
    assert [n.op_type for n in nodes] == ["Softmax"]


def test_verify_accepts_a_correct_model() -> None:
    content, _ = CASES["attention"].build(np.random.default_rng(0))
    trimtab.load_model(content, verify="passes")


def test_fused_attention_of_a_masked_row_gives_nan() -> None:
    """As softmax of minus infinities does."""
    content, inputs = CASES["attention_scaled_behind"].build(np.random.default_rng(3))
    inputs["mask"][5] = -np.inf
    expected = reference(content, inputs)["y"]
    y = trimtab.load_model(content).run(inputs)["y"]
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert np.isnan(y[:, :, 5]).all()
