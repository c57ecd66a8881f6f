"""500 random graphs agree with onnxruntime or onnx.reference; always the same ones.

`python -m tests.fuzz.campaign 20000` runs more, by number.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .campaign import describe
from .check import check
from .choices import Drawn, Seeded
from .compare import disagreement
from .generate import generate

N_SEEDED, N_CHUNKS = 400, 20


@pytest.mark.parametrize("chunk", range(N_CHUNKS))
def test_graphs_by_number_agree(chunk):
    n = N_SEEDED // N_CHUNKS
    for seed in range(chunk * n, (chunk + 1) * n):
        sample = generate(Seeded(seed))
        verdict = check(sample)
        assert verdict.kind != "wrong", f"{seed}: {verdict.text}\n{describe(sample)}"


@st.composite
def samples(draw):
    return generate(Drawn(draw))


@settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(samples())
def test_graphs_that_hypothesis_draws_agree(sample):
    """Beside the numbered ones: what fails here is made small."""
    verdict = check(sample)
    assert verdict.kind != "wrong", f"{verdict.text}\n{describe(sample)}"


def test_most_graphs_say_something():
    """A generator that makes what all refuse would find nothing."""
    kinds = [check(generate(Seeded(seed))).kind for seed in range(60)]
    assert kinds.count("right") >= 45


def test_the_generator_knows_the_shapes_it_makes():
    """Its outputs, run by onnx's own inference, have the shapes that it counted on."""
    from onnx import shape_inference

    for seed in range(30):
        model = generate(Seeded(seed)).model
        shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.float32([1, 2]), np.float32([1, 2.01])),
        (np.float32([1, np.nan]), np.float32([1, 2])),
        (np.float32([1, np.inf]), np.float32([1, -np.inf])),
        (np.float64([1]), np.float32([1])),
        (np.float32([[1]]), np.float32([1])),
        (np.int32([1, 2]), np.int32([1, 3])),
    ],
)
def test_the_comparison_can_fail(got, want):
    assert disagreement(got, want, [want], moved=False)
    assert not disagreement(want, want, [], moved=False)


def test_moved_zeros_keep_their_sign():
    plus, minus = np.float32([0.0]), np.float32([-0.0])
    assert disagreement(plus, minus, [], moved=True)
    assert not disagreement(plus, minus, [], moved=False)
