"""LinearAttention and CausalConvWithState against their recurrences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, feeds_of, one_node_model, run_with_isa

import trimtab

RULES = ("linear", "gated", "delta", "gated_delta")


def definition(q, k, v, state, decay, beta, *, heads, key_heads, rule, scale):
    """Return what is read, and the state in the end."""
    batch, tokens = q.shape[:2]
    q, k, v = (
        x.astype(np.float64).reshape(batch, tokens, n, x.shape[2] // n)
        for x, n in ((q, heads), (k, key_heads), (v, key_heads))
    )
    size = k.shape[3]
    s = np.zeros((batch, key_heads, size, v.shape[3]))
    if state is not None:
        s = state.astype(np.float64)
    found = np.zeros((batch, tokens, heads, v.shape[3]))
    for t in range(tokens):
        if rule.startswith("gated"):
            g = decay[:, t].astype(np.float64)
            g = g.reshape(batch, key_heads, g.shape[1] // key_heads)
            s = s * np.exp(g)[..., None]
        value = v[:, t]
        if rule.endswith("delta"):
            b = beta[:, t].astype(np.float64)[..., None]
            value = b * (value - np.einsum("bhkv,bhk->bhv", s, k[:, t]))
        s = s + k[:, t][..., None] * value[..., None, :]
        shared = s.repeat(heads // key_heads, 1)
        found[:, t] = scale * np.einsum("bhkv,bhk->bhv", shared, q[:, t])
    return found.reshape(batch, tokens, heads * v.shape[3]), s


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 3),
    st.integers(0, 6),
    st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)]),
    st.sampled_from([(1, 1), (4, 8), (16, 16), (8, 35), (17, 5)]),
    st.sampled_from(RULES),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from(["f2", "f4"]),
)
def test_it_is_the_recurrence(
    seed, batch, tokens, heads, sizes, rule, past, per_head, one_beta, scale, dtype
):
    rng = np.random.default_rng(seed)
    (n, n_keys), (size, value_size) = heads, sizes

    def array(*shape, factor=1.0):
        return (factor * rng.standard_normal(shape)).astype(dtype)

    inputs = [
        array(batch, tokens, n * size),
        array(batch, tokens, n_keys * size, factor=size**-0.5),
        array(batch, tokens, n_keys * value_size),
        array(batch, n_keys, size, value_size) if past else None,
        None,
        None,
    ]
    if rule.startswith("gated"):
        width = n_keys * (1 if per_head else size)
        inputs[4] = -np.abs(array(batch, tokens, width))
    if rule.endswith("delta"):
        inputs[5] = rng.random((batch, tokens, 1 if one_beta else n_keys)).astype(dtype)
    want = definition(
        *inputs,
        heads=n,
        key_heads=n_keys,
        rule=rule,
        scale=scale or size**-0.5,
    )
    attributes = {
        "q_num_heads": n,
        "kv_num_heads": n_keys,
        "update_rule": rule,
        "scale": scale,
    }
    check_node(
        "LinearAttention",
        inputs,
        attributes,
        27,
        outputs=2,
        expected=[x.astype(dtype) for x in want],
        tolerance=3e-5 if dtype == "f4" else None,
    )


@pytest.mark.parametrize("isa", ["avx2", "scalar"])
def test_other_instruction_sets(isa):
    code = (
        "from tests.ops import test_linear_attention as t;"
        "t.test_it_is_the_recurrence(); t.test_the_convolution(); print('ran')"
    )
    assert run_with_isa(isa, code).strip() == "ran"


@pytest.mark.parametrize(
    "change",
    [
        {"q_num_heads": 0},
        {"q_num_heads": 3},
        {"kv_num_heads": 2**40},
        {"update_rule": "delta"},
        {"update_rule": "gated"},
        {"update_rule": "sum"},
    ],
)
def test_what_does_not_go_together_is_refused(change):
    inputs = [np.zeros((1, 2, 8), "f4") for _ in "qkv"]
    attributes = {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}
    model = one_node_model("LinearAttention", inputs, attributes | change, 27)
    with pytest.raises(trimtab.TrimtabError):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run(feeds_of(inputs, ()))


# ---- CausalConvWithState -----------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 3),
    st.integers(1, 5),
    st.integers(0, 40),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "silu", "swish"]),
    st.sampled_from(["f2", "f4"]),
)
def test_the_convolution(
    seed, batch, channels, length, taps, bias, past, activation, dtype
):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, channels, length)).astype(dtype)
    w = rng.standard_normal((channels, 1, taps)).astype(dtype)
    b = rng.standard_normal(channels).astype(dtype) if bias else None
    state = None
    if past:
        state = rng.standard_normal((batch, channels, taps - 1)).astype(dtype)
    before = np.zeros((batch, channels, taps - 1)) if state is None else state
    row = np.concatenate([before, x], 2).astype(np.float64)
    y = np.zeros(x.shape) if b is None else np.zeros(x.shape) + b[:, None]
    for j in range(taps):
        y = y + w[:, :, j].astype(np.float64) * row[:, :, j : j + length]
    if activation != "none":
        y = y / (1 + np.exp(-y))
    present = row[:, :, length:]
    check_node(
        "CausalConvWithState",
        [x, w, b, state],
        {"activation": activation},
        27,
        outputs=2,
        expected=[y.astype(dtype), present.astype(dtype)],
    )


@pytest.mark.parametrize(
    ("shapes", "activation"),
    [
        ([(1, 2, 5), (2, 1, 3)], "gelu"),
        ([(1, 2, 5), (3, 1, 3)], "none"),
        ([(1, 2, 5), (2, 1, 0)], "none"),
        ([(1, 2, 5), (2, 3)], "none"),
        ([(1, 2, 5), (2, 1, 3), (3,)], "none"),
        ([(1, 2, 5), (2, 1, 3), (2,), (1, 2, 3)], "none"),
    ],
)
def test_convolutions_that_make_no_sense_are_refused(shapes, activation):
    inputs = [np.zeros(shape, "f4") for shape in shapes]
    model = one_node_model(
        "CausalConvWithState", inputs, {"activation": activation}, 27
    )
    with pytest.raises(trimtab.TrimtabError):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run(feeds_of(inputs, ()))
