"""Own depthwise convolutions of floats against float64; in bfloat16 too."""

from __future__ import annotations

from functools import partial

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tests.ops.check import run_with_isa
from tests.ops.test_conv_own import FORCED, POSTS, WITHOUT, implementation, model_of

import trimtab
from trimtab import _core
from trimtab.optimize.bf16 import to_bf16

BOUND, BOUND_BF16 = 1e-6, 1e-2


def defined(x, w, b, strides, pads):
    """Depthwise convolution of [N, C, H, W] by its definition in float64."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (top, bottom), (left, right)])
    views = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1]]
    y = np.einsum("nchwij,cij->nchw", views, w[:, 0].astype(np.float64))
    return y + b.astype(np.float64)[:, None, None]


def drawn(rng, shape, window, strides, pads):
    """Images, weights, bias, attributes, and the result in float64."""
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((shape[1], 1, *window)).astype(np.float32)
    b = rng.standard_normal(shape[1]).astype(np.float32)
    attributes = {"group": shape[1], "strides": strides, "pads": pads}
    return x, w, b, attributes, defined(x, w, b, strides, pads)


def check(rng, shape, window, strides=(1, 1), pads=(0, 0, 0, 0), posts="none"):
    """Within the bound; the same bits with any number of threads and any strides."""
    x, w, b, attributes, y = drawn(rng, shape, window, strides, pads)
    r = rng.standard_normal(y.shape).astype(np.float32)
    c = rng.standard_normal((shape[1], 1, 1)).astype(np.float32)
    want = POSTS[posts][1](y, r.astype(np.float64), c.astype(np.float64))
    content = model_of(x, w, b, attributes, posts, -r, c)
    feeds = {"x": x}
    if any(other == "r" for _, _, other in POSTS[posts][0]):
        feeds["ri"] = -r
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first = None
    for threads in (1, 2, 3):
        model = trimtab.load_model(
            content, threads=threads, fallback=False, passes=FORCED
        )
        assert implementation(model, feeds).startswith("depthwise:")
        for view in (x, last):
            (got,) = model.run({**feeds, "x": view}).values()
            first = np.array(got) if first is None else first
            np.testing.assert_array_equal(got, first)
    scale = max(np.ptp(y), np.abs(want).max(), 1.0)
    assert first.shape == want.shape
    assert np.abs(first - want).max() <= BOUND * scale


CASES = {
    "3x3": ((1, 32, 28, 28), (3, 3), (1, 1), (1, 1, 1, 1)),
    "3x3_by_2": ((2, 48, 29, 30), (3, 3), (2, 2), (0, 0, 1, 1)),
    "5x5": ((1, 40, 14, 14), (5, 5), (1, 1), (2, 2, 2, 2)),
    "5x5_by_2": ((1, 17, 15, 22), (5, 5), (2, 2), (2, 1, 2, 3)),
    "7x7": ((1, 24, 16, 9), (7, 7), (1, 1), (3, 3, 3, 3)),
    "tall": ((1, 16, 30, 6), (9, 1), (3, 1), (4, 0, 4, 0)),
    "smaller_than_its_window": ((1, 19, 2, 3), (5, 5), (1, 1), (2, 2, 2, 2)),
    "96_channels": ((1, 96, 20, 23), (3, 3), (2, 2), (1, 1, 1, 1)),
    "72_channels": ((2, 72, 14, 14), (5, 5), (1, 1), (2, 2, 2, 2)),
    "nothing_but_padding": ((1, 16, 1, 1), (3, 3), (2, 2), (4, 4, 4, 4)),
}


@pytest.mark.parametrize("posts", POSTS)
@pytest.mark.parametrize("case", CASES)
def test_depthwise_equals_the_definition(rng, case, posts):
    check(rng, *CASES[case], posts=posts)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_shape_equals_the_definition(data):
    draw = data.draw
    window = [draw(st.integers(1, 7)) for _ in range(2)]
    pads = [draw(st.integers(0, 5)) for _ in range(4)]
    least = [max(1, k - pads[i] - pads[i + 2]) for i, k in enumerate(window)]
    size = [draw(st.integers(n, n + 20)) for n in least]
    shape = (draw(st.integers(1, 2)), draw(st.integers(2, 70)), *size)
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    check(rng, shape, window, strides, pads, draw(st.sampled_from(list(POSTS))))


@pytest.mark.parametrize("case", CASES)
def test_in_bfloat16_it_is_as_near_as_that_can_be(rng, case):
    x, w, b, attributes, y = drawn(rng, *CASES[case])
    model = trimtab.load_model(model_of(x, w, b, attributes, "relu"), threads=1)
    (got,) = model.rewritten(to_bf16).run({"x": x}).values()
    want = np.maximum(y, 0)
    assert np.abs(got - want).max() <= BOUND_BF16 * max(np.ptp(y), 1.0)


def rounded(x):
    """The nearest numbers of bfloat16."""
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def with_copy(content, channels):
    """Another depthwise convolution behind, that changes nothing."""
    model = onnx.load_from_string(content)
    (last,) = model.graph.output
    ones = np.ones((channels, 1, 1, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(ones, "ones"))
    node = helper.make_node(
        "Conv", [last.name, "ones"], ["out"], "copy", group=channels
    )
    model.graph.node.append(node)
    last.name = "out"
    return model.SerializeToString()


def check_bfloat16(
    rng, shape, window, strides=(1, 1), pads=(0, 0, 0, 0), nan=False, layers=("conv",)
):
    """Only the result is rounded; the same bits with any number of threads."""
    x, w, b, attributes, _ = drawn(rng, shape, window, strides, pads)
    x, w = rounded(x), rounded(w)
    if nan:
        x[tuple(rng.integers(shape))] = np.nan
    want = defined(x, w, b, strides, pads).clip(0, 6)
    content = with_copy(model_of(x, w, b, attributes, "relu6"), shape[1])
    first = None
    for threads in (1, 3):
        model = trimtab.load_model(content, threads=threads)
        (got,) = model.rewritten(partial(to_bf16, layers=layers)).run({"x": x}).values()
        first = np.array(got) if first is None else first
        np.testing.assert_array_equal(got, first)
    np.testing.assert_allclose(first, want, rtol=2**-8, atol=1e-4)


LAYERS = {
    "to_float32": ("conv",),
    "to_bfloat16": ("conv", "copy"),
    "from_float32": ("copy",),
}


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("case", CASES)
def test_in_bfloat16_only_the_result_is_rounded(rng, case, layers, nan):
    check_bfloat16(rng, *CASES[case], nan=nan, layers=LAYERS[layers])


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_shape_in_bfloat16_equals_the_definition(data):
    draw = data.draw
    window = [draw(st.integers(1, 6)), draw(st.sampled_from([3, 5, 1, 2, 4]))]
    pads = [draw(st.integers(0, 5)) for _ in range(4)]
    least = [max(1, k - pads[i] - pads[i + 2]) for i, k in enumerate(window)]
    size = [draw(st.integers(n, n + 20)) for n in least]
    shape = (draw(st.integers(1, 2)), draw(st.integers(2, 100)), *size)
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layers = LAYERS[draw(st.sampled_from(list(LAYERS)))]
    nan = draw(st.booleans())
    check_bfloat16(rng, shape, window, strides, pads, nan=nan, layers=layers)


def test_nan_stays_where_the_definition_puts_it(rng):
    x, w, b, attributes, _ = drawn(rng, *CASES["5x5"])
    x[0, 3, 5, 6] = np.nan
    content = model_of(x, w, b, attributes, "relu6")
    model = trimtab.load_model(content, fallback=False, passes=FORCED)
    (got,) = model.run({"x": x}).values()
    want = np.isnan(defined(x, w, b, attributes["strides"], attributes["pads"]))
    np.testing.assert_array_equal(np.isnan(got), want)


def test_without_the_pass_onednn_gives_the_same(rng):
    x, w, b, attributes, y = drawn(rng, *CASES["3x3"])
    content = model_of(x, w, b, attributes)
    model = trimtab.load_model(content, fallback=False, passes=WITHOUT)
    assert not implementation(model, {"x": x}).startswith("depthwise:")
    (got,) = model.run({"x": x}).values()
    assert np.abs(got - y).max() <= BOUND * np.ptp(y)


@pytest.mark.skipif(_core.cpu_info()["isa"] != "avx512", reason="chosen on AVX-512")
def test_it_runs_where_it_was_measured_to_win(rng):
    x, w, b, attributes, _ = drawn(rng, *CASES["3x3"])
    model = trimtab.load_model(model_of(x, w, b, attributes), threads=1)
    assert implementation(model, {"x": x}) == "depthwise:avx512"


@pytest.mark.skipif(
    not _core.cpu_info()["avx512_bf16"], reason="a processor with bfloat16"
)
def test_in_bfloat16_it_runs_where_it_was_measured_to_win(rng):
    x, w, b, attributes, _ = drawn(rng, *CASES["3x3"])
    model = trimtab.load_model(model_of(x, w, b, attributes, "relu"), threads=1)
    profile = model.rewritten(to_bf16).profile({"x": x}, repeat=1)
    assert "depthwise:avx512_bf16" in [node.implementation for node in profile.nodes]


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_instruction_set_equals_the_definition(isa):
    code = (
        "import numpy as np\n"
        "from tests.ops.test_depthwise import CASES, check\n"
        "for i, case in enumerate(CASES.values()):\n"
        "    posts = 'relu' if i % 2 else 'relu_scale_add'\n"
        "    check(np.random.default_rng(i), *case, posts=posts)\n"
    )
    run_with_isa(isa, code)
