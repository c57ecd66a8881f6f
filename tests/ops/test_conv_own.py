"""Own convolution kernels (Winograd, few channels on a side) against float64.

Which kernel runs is read from the profile.  Without the pass "primitives" own kernels
do all that they can, without "kernels" nothing that oneDNN does.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.ops.check import run_with_isa

import trimtab
from trimtab import _core

# Largest error as a share of the output's range, for normal noise.  Direct: some
# roundings per tap.  Winograd evaluates polynomials at +-sqrt(2), which amplifies
# roundings: at most 2e-6 was measured for up to 256 channels.
DIRECT, WINOGRAD = 1e-6, 4e-6
FORCED = [name for name in _core.PASSES if name != "primitives"]
WITHOUT = [name for name in _core.PASSES if name != "kernels"]
PADS = [1, 1, 1, 1]


def defined(x, w, b, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
    """Convolution of [N, C, H, W] by its definition in float64."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (top, bottom), (left, right)])
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1]]
    views = views[..., :: dilations[0], :: dilations[1]]
    y = np.einsum("nchwij,kcij->nkhw", views, w.astype(np.float64), optimize=True)
    return y + b.astype(np.float64)[:, None, None]


def leaky(y, slope):
    return np.where(y < 0, slope * y, y)


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


#: name: nodes behind "y0" (op, attributes, other input), the same in NumPy.  `r` has
#: the shape of the output, `c` is [K, 1, 1].
POSTS = {
    "none": ([], lambda y, r, c: y),
    "relu": ([("Relu", {}, None)], lambda y, r, c: np.maximum(y, 0)),
    "relu6": ([("Clip", {}, "lohi")], lambda y, r, c: np.clip(y, 0, 6)),
    "leaky": ([("LeakyRelu", {"alpha": 0.2}, None)], lambda y, r, c: leaky(y, 0.2)),
    "sigmoid": ([("Sigmoid", {}, None)], lambda y, r, c: sigmoid(y)),
    "hardswish": (
        [("HardSwish", {}, None)],
        lambda y, r, c: y * np.clip(y / 6 + 0.5, 0, 1),
    ),
    "add": ([("Add", {}, "r")], lambda y, r, c: y + r),
    "add_relu": (
        [("Add", {}, "r"), ("Relu", {}, None)],
        lambda y, r, c: np.maximum(y + r, 0),
    ),
    "relu_scale_add": (
        [("Relu", {}, None), ("Mul", {}, "c"), ("Add", {}, "r")],
        lambda y, r, c: np.maximum(y, 0) * c + r,
    ),
}


def model_of(x, w, b, attributes, posts="none", r=None, c=None):
    """Conv and the nodes of POSTS[posts]; the residual is -(-r), made by the model."""
    constants = {"w": w, "b": b}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y0"], "conv", **attributes)]
    names = [other for _, _, other in POSTS[posts][0]]
    if "r" in names:
        inputs.append(helper.make_tensor_value_info("ri", TensorProto.FLOAT, r.shape))
        nodes.insert(0, helper.make_node("Neg", ["ri"], ["r"]))
    if "c" in names:
        constants["c"] = c
    for i, (op, extra, other) in enumerate(POSTS[posts][0]):
        more = [] if other is None else [other]
        if other == "lohi":
            more = ["lo", "hi"]
            constants["lo"], constants["hi"] = np.float32(0), np.float32(6)
        nodes.append(helper.make_node(op, [f"y{i}", *more], [f"y{i + 1}"], **extra))
    last = f"y{len(names)}"
    graph = helper.make_graph(
        nodes,
        "conv",
        inputs,
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(
        graph, opset_imports=opset, ir_version=8
    ).SerializeToString()


def implementation(model, feeds):
    steps = {n.name: n.implementation for n in model.profile(feeds, repeat=1).nodes}
    return steps["conv"]


def check(rng, shape, weights, kernel, *, posts="none", bound, **attributes):
    """Run with 1, 2 and 3 threads and other strides: equal bits, within bound."""
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal(weights).astype(np.float32)
    b = rng.standard_normal(weights[0]).astype(np.float32)
    y = defined(x, w, b, **attributes)
    r = rng.standard_normal(y.shape).astype(np.float32)
    c = rng.standard_normal((weights[0], 1, 1)).astype(np.float32)
    want = POSTS[posts][1](y, r.astype(np.float64), c.astype(np.float64))
    content = model_of(x, w, b, attributes, posts, -r, c)
    feeds = {"x": x}
    if any(other == "r" for _, _, other in POSTS[posts][0]):
        feeds["ri"] = -r
    wide = np.zeros((*shape[:2], shape[2] + 1, 2 * shape[3]), np.float32)
    wide[:, :, 1:, ::2] = x
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first = None
    for threads in (1, 2, 3):
        model = trimtab.load_model(
            content, threads=threads, fallback=False, passes=FORCED
        )
        if kernel is not None and threads == 1:
            assert implementation(model, feeds).startswith(kernel)
        for view in (x, wide[:, :, 1:, ::2], last):
            (got,) = model.run({**feeds, "x": view}).values()
            if first is None:
                first = np.array(got)
                scale = max(np.ptp(y), np.abs(want).max())
                assert got.shape == want.shape
                assert np.abs(got - want).max() <= bound * scale
            np.testing.assert_array_equal(got, first)
    return first


WINOGRAD_CASES = {
    "even": ((1, 32, 56, 56), (32, 32, 3, 3), {"pads": PADS}),
    "no_pads": ((1, 64, 46, 39), (64, 64, 3, 3), {}),
    "uneven_pads": ((1, 40, 37, 50), (72, 40, 3, 3), {"pads": [2, 0, 1, 3]}),
    "batch": ((3, 48, 23, 31), (64, 48, 3, 3), {"pads": PADS}),
    "many_channels": ((1, 256, 28, 28), (160, 256, 3, 3), {"pads": PADS}),
    "odd_channels": ((2, 67, 30, 29), (71, 67, 3, 3), {"pads": PADS}),
}
DIRECT_CASES = {
    "sound": ((1, 1, 120, 90), (32, 1, 3, 3), {"pads": PADS}),
    "sound_wide": ((1, 1, 60, 161), (128, 1, 3, 3), {"pads": PADS}),
    # 7 vectors of 16 channels in two blocks of 4: the last one is empty
    "empty_vector": ((1, 1, 20, 60), (98, 1, 3, 3), {}),
    "sound_batch": ((2, 1, 65, 90), (64, 1, 5, 3), {"pads": [2, 0, 0, 1]}),
}


DOT_CASES = {
    "contour": ((1, 8, 30, 41), (1, 8, 5, 5), {"pads": [2, 2, 2, 2]}),
    "tall": ((2, 33, 20, 29), (1, 33, 7, 3), {"pads": [3, 1, 3, 1]}),
    "filter": ((1, 1, 1, 900), (1, 1, 1, 255), {"strides": [1, 2]}),
    "two": ((1, 17, 25, 70), (2, 17, 1, 1), {}),
    "four": ((2, 20, 12, 33), (4, 20, 2, 4), {"pads": [1, 3, 0, 2], "strides": [2, 3]}),
    "dilated": ((1, 9, 40, 50), (3, 9, 3, 4), {"dilations": [3, 1], "pads": PADS}),
}


@pytest.mark.parametrize("posts", POSTS)
@pytest.mark.parametrize("case", DOT_CASES)
def test_dots_equal_the_definition(rng, case, posts):
    shape, weights, attributes = DOT_CASES[case]
    check(rng, shape, weights, "conv_dot", posts=posts, bound=DIRECT, **attributes)


@pytest.mark.parametrize("posts", POSTS)
@pytest.mark.parametrize("case", WINOGRAD_CASES)
def test_winograd_equals_the_definition(rng, case, posts):
    shape, weights, attributes = WINOGRAD_CASES[case]
    check(rng, shape, weights, "winograd", posts=posts, bound=WINOGRAD, **attributes)


@pytest.mark.parametrize("posts", POSTS)
@pytest.mark.parametrize("case", DIRECT_CASES)
def test_direct_equals_the_definition(rng, case, posts):
    shape, weights, attributes = DIRECT_CASES[case]
    check(rng, shape, weights, "conv_direct", posts=posts, bound=DIRECT, **attributes)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_3x3_shape_equals_the_definition(data):
    draw = data.draw
    size, channels = st.integers(1, 40), st.integers(2, 70)
    pads = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
    h = draw(size) + max(0, 3 - pads[0] - pads[2])
    w = draw(size) + max(0, 3 - pads[1] - pads[3])
    c, k, n = draw(channels), draw(channels), draw(st.integers(1, 3))
    posts = draw(st.sampled_from(sorted(POSTS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    check(
        rng,
        (n, c, h, w),
        (k, c, 3, 3),
        "winograd",
        posts=posts,
        bound=WINOGRAD,
        pads=pads,
    )


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_shape_of_few_channels_equals_the_definition(data):
    draw = data.draw
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    pads = draw(st.lists(st.integers(0, 4), min_size=4, max_size=4))
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    strides, dilations = draw(pair), draw(pair)
    least = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    h = draw(st.integers(0, 70)) + max(1, least[0] - pads[0] - pads[2])
    w = draw(st.integers(0, 110)) + max(1, least[1] - pads[1] - pads[3])
    c, k, n = (draw(st.integers(1, most)) for most in (8, 140, 2))
    posts = draw(st.sampled_from(sorted(POSTS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    check(
        rng,
        (n, c, h, w),
        (k, c, *kernel),
        None,
        posts=posts,
        bound=DIRECT,
        pads=pads,
        strides=strides,
        dilations=dilations,
    )


def test_the_rules_take_what_they_were_measured_on(rng):
    for kernel, x, w in (
        ("winograd", (1, 64, 56, 56), (64, 64, 3, 3)),
        ("conv_direct", (1, 1, 450, 161), (32, 1, 3, 3)),
        ("conv_dot", (1, 8, 172, 264), (1, 8, 5, 5)),
    ):
        feeds = {"x": rng.standard_normal(x).astype(np.float32)}
        weights = rng.standard_normal(w).astype(np.float32)
        bias = np.zeros(w[0], np.float32)
        content = model_of(feeds["x"], weights, bias, {"pads": PADS})
        model = trimtab.load_model(content, threads=1, fallback=False)
        assert implementation(model, feeds).startswith(kernel)


@pytest.mark.parametrize("case", ["even", "sound", "contour"])
def test_without_the_pass_onednn_gives_the_same(rng, case):
    shape, weights, attributes = {**WINOGRAD_CASES, **DIRECT_CASES, **DOT_CASES}[case]
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, weights))
    b = rng.standard_normal(weights[0]).astype(np.float32)
    content, want = model_of(x, w, b, attributes), defined(x, w, b, **attributes)
    model = trimtab.load_model(content, fallback=False, passes=WITHOUT)
    assert not implementation(model, {"x": x}).startswith(("winograd", "conv_"))
    (got,) = model.run({"x": x}).values()
    assert np.abs(got - want).max() <= DIRECT * np.ptp(want)


def test_nan_stays_where_the_definition_puts_it(rng):
    shape, weights, attributes = DIRECT_CASES["sound"]
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, weights))
    x[0, 0, 10, 20] = np.nan
    b = np.zeros(weights[0], np.float32)
    content = model_of(x, w, b, attributes, "relu")
    model = trimtab.load_model(content, fallback=False, passes=FORCED)
    (got,) = model.run({"x": x}).values()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(defined(x, w, b, pads=PADS)))


def test_nan_of_winograd_reaches_at_least_what_the_definition_says(rng):
    shape, weights, attributes = WINOGRAD_CASES["even"]
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, weights))
    x[0, 3, 10, 20] = np.nan
    b = np.zeros(weights[0], np.float32)
    content = model_of(x, w, b, attributes, "relu")
    model = trimtab.load_model(content, fallback=False, passes=FORCED)
    (got,) = model.run({"x": x}).values()
    assert np.isnan(got[np.isnan(defined(x, w, b, pads=PADS))]).all()
    # a tile and its neighbours, no more
    assert not np.isnan(got[:, :, :4]).any()
    assert not np.isnan(got[:, :, 16:]).any()
    assert not np.isnan(got[:, :, :, 28:]).any()


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_instruction_set_equals_the_definition(isa):
    code = (
        "import numpy as np\n"
        "from tests.ops.test_conv_own import *\n"
        "for cases, kernel, bound in ((WINOGRAD_CASES, 'winograd_4x4', WINOGRAD),\n"
        "                             (DIRECT_CASES, 'conv_direct', DIRECT),\n"
        "                             (DOT_CASES, 'conv_dot', DIRECT)):\n"
        "    for case, (shape, weights, attributes) in cases.items():\n"
        "        posts = 'relu' if case == 'batch' else 'relu_scale_add'\n"
        "        check(np.random.default_rng(1), shape, weights, kernel,\n"
        "              posts=posts, bound=bound, **attributes)\n"
    )
    run_with_isa(isa, code)
