"""Attention and the kernel behind it against the definition in float64.

The definition follows the text of the operator: scores, cap, mask, window, softmax,
and zeros for a query that sees no key.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, feeds_of, one_node_model, run_with_isa

import trimtab

#: Of the output's range: float32 products of up to 300 terms and an exponential.
TOLERANCE = 1e-5


def split(x, heads):
    """[batch, tokens, heads size] as [batch, heads, tokens, size]."""
    if x.ndim == 4:
        return x
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def seen(queries, keys, offset, causal, left=-1, right=-1):
    """Which keys the window lets a query see."""
    ahead = np.arange(keys) - np.arange(queries)[:, None] - offset
    allowed = np.ones((queries, keys), bool)
    if causal:
        allowed &= ahead <= 0
    if left >= 0:
        allowed &= -ahead <= left
    if right >= 0:
        allowed &= ahead <= right
    return allowed


def definition(
    q,
    k,
    v,
    mask=None,
    past_k=None,
    past_v=None,
    lengths=None,
    *,
    q_num_heads=None,
    kv_num_heads=None,
    scale=None,
    softcap=0.0,
    is_causal=0,
    qk_matmul_output_mode=0,
    left_window_size=-1,
    right_window_size=-1,
):
    """Return Y, present key, present value, scores: all in float64."""
    rank = q.ndim
    q, k, v = split(q, q_num_heads), split(k, kv_num_heads), split(v, kv_num_heads)
    offset = 0
    if past_k is not None:
        offset = past_k.shape[2]
        k, v = np.concatenate([past_k, k], 2), np.concatenate([past_v, v], 2)
    present = k, v
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat(groups, 1), v.repeat(groups, 1)
    n_q, n_k = q.shape[2], k.shape[2]
    raw = q @ k.swapaxes(2, 3) * (q.shape[3] ** -0.5 if scale is None else scale)
    capped = softcap * np.tanh(raw / softcap) if softcap else raw
    bias = np.zeros((q.shape[0], 1, n_q, n_k))
    if mask is not None:
        if mask.dtype == bool:
            mask = np.where(mask, 0.0, -np.inf)
        missing = [(0, 0)] * (mask.ndim - 1) + [(0, n_k - mask.shape[-1])]
        bias = bias + np.pad(mask.astype(np.float64), missing, constant_values=-np.inf)
    offsets = [offset] * len(q) if lengths is None else lengths - n_q
    window = np.ones((len(q), 1, n_q, n_k), bool)
    for i, at in enumerate(offsets):
        window[i] &= seen(n_q, n_k, at, is_causal, left_window_size, right_window_size)
    bias = np.where(window, bias, -np.inf)
    if lengths is not None:
        visible = np.arange(n_k) < lengths[:, None, None, None]
        bias = np.where(visible, bias, -np.inf)
    masked = capped + bias
    high = masked.max(-1, keepdims=True, initial=-np.inf)
    p = np.exp(masked - np.where(np.isneginf(high), 0, high))
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    y = p @ v
    if rank == 3:
        y = y.transpose(0, 2, 1, 3).reshape(len(y), n_q, -1)
    return y, *present, (raw, capped, masked, p)[qk_matmul_output_mode]


def expected(inputs, attrs, outputs=1):
    made = definition(*inputs, **attrs)
    dtypes = [inputs[i].dtype for i in (0, 0, 2, 0)]
    return [x.astype(d) for x, d in zip(made, dtypes, strict=True)][:outputs]


def random_mask(rng, kind, shape):
    """None, a bool mask or a float mask with some -inf."""
    if kind == "none":
        return None
    keep = rng.random(shape) < 0.7
    if kind == "bool":
        return keep
    bias = rng.standard_normal(shape).astype(np.float32)
    return np.where(keep, bias, np.float32(-np.inf))


def qkv(rng, batch, heads, key_heads, queries, keys, size, value_size, dtype="f4"):
    shapes = (
        (batch, heads, queries, size),
        (batch, key_heads, keys, size),
        (batch, key_heads, keys, value_size),
    )
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def join(x):
    """[batch, heads, tokens, size] as [batch, tokens, heads size]."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1).copy()


SIZES = st.integers(1, 300)
WIDTHS = st.integers(1, 129)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2)),
    tokens=st.tuples(st.one_of(st.integers(1, 5), SIZES), SIZES),
    widths=st.tuples(WIDTHS, WIDTHS),
    mask=st.sampled_from(["none", "bool", "float"]),
    mask_dims=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    causal=st.booleans(),
    flat=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(sizes, tokens, widths, mask, mask_dims, causal, flat, threads, seed):
    rng = np.random.default_rng(seed)
    batch, key_heads, groups = sizes
    inputs = qkv(rng, batch, key_heads * groups, key_heads, *tokens, *widths)
    dims = (batch, key_heads * groups, *tokens)
    shape = [d if kept else 1 for d, kept in zip(dims, mask_dims, strict=False)]
    inputs.append(random_mask(rng, mask, (*shape, tokens[1])))
    attrs = {"is_causal": int(causal)}
    if flat:
        inputs[:3] = map(join, inputs[:3])
        attrs |= {"q_num_heads": key_heads * groups, "kv_num_heads": key_heads}
    check_node(
        "Attention",
        inputs,
        attrs,
        23,
        expected=expected(inputs, attrs),
        tolerance=TOLERANCE,
        threads=threads,
    )


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("queries", [1, 3, 30])
def test_scores_of_every_mode(rng, mode, queries):
    inputs = qkv(rng, 2, 4, 2, queries, 130, 24, 40)
    inputs.append(random_mask(rng, "float", (4, queries, 120)))
    attrs = {"qk_matmul_output_mode": mode, "softcap": 2.0, "is_causal": queries // 30}
    want = expected(inputs, attrs, 4)
    check_node("Attention", inputs, attrs, 23, outputs=4, expected=want)


@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("past", [0, 1, 100])
def test_a_cache_comes_first_and_is_given_back(rng, queries, flat, past):
    inputs = qkv(rng, 2, 4, 2, queries, queries, 16, 20)
    attrs = {"is_causal": 1}
    if flat:
        inputs = [join(x) for x in inputs]
        attrs |= {"q_num_heads": 4, "kv_num_heads": 2}
    inputs += [None, *qkv(rng, 2, 2, 2, past, past, 16, 20)[1:]]
    want = expected(inputs, attrs, 3)
    check_node("Attention", inputs, attrs, 23, outputs=3, expected=want)
    check_node("Attention", inputs, attrs, 23, expected=want[:1])


def test_present_without_a_past_is_the_keys(rng):
    inputs = [join(x) for x in qkv(rng, 2, 2, 2, 3, 5, 8, 4)]
    attrs = {"q_num_heads": 2, "kv_num_heads": 2}
    want = expected(inputs, attrs, 3)
    check_node("Attention", inputs, attrs, 23, outputs=3, expected=want)


@pytest.mark.parametrize("causal", [0, 1])
def test_lengths_of_an_outer_cache(rng, causal):
    inputs = qkv(rng, 3, 2, 1, 4, 200, 16, 16)
    inputs += [None, None, None, np.array([0, 3, 130])]
    attrs = {"is_causal": causal}
    want = expected(inputs, attrs)
    check_node("Attention", inputs, attrs, 24, expected=want)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, -1), (-1, 2), (100, 5)])
@pytest.mark.parametrize("causal", [0, 1])
def test_windows(rng, left, right, causal):
    inputs = qkv(rng, 1, 2, 2, 250, 260, 16, 16)
    attrs = {
        "left_window_size": left,
        "right_window_size": right,
        "is_causal": causal,
    }
    check_node("Attention", inputs, attrs, 25, expected=expected(inputs, attrs))


@pytest.mark.parametrize("queries", [2, 20])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_sees_nothing_gives_zeros(rng, queries, kind):
    inputs = qkv(rng, 1, 2, 2, queries, 120, 8, 8)
    mask = random_mask(rng, kind, (queries, 120))
    mask[1] = False if kind == "bool" else -np.inf
    inputs.append(mask)
    attrs = {"qk_matmul_output_mode": 3}
    want = expected(inputs, attrs, 4)
    got = check_node("Attention", inputs, attrs, 23, outputs=4, expected=want)
    assert not got[0][:, :, 1].any()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("queries", [1, 9])
def test_other_float_types(rng, dtype, queries):
    inputs = qkv(rng, 2, 4, 2, queries, 30, 16, 12, dtype)
    inputs.append(rng.random((queries, 25)) < 0.8)
    attrs = {"is_causal": 1, "softcap": 3.0}
    check_node("Attention", inputs, attrs, 23, expected=expected(inputs, attrs))


@pytest.mark.parametrize("empty", ["batch", "heads", "queries", "keys"])
def test_empty_dims(rng, empty):
    sizes = {"batch": 2, "heads": 2, "key_heads": 2, "queries": 3, "keys": 5}
    sizes[empty] = 0
    inputs = qkv(rng, **sizes, size=4, value_size=4)
    check_node("Attention", inputs, {}, 23, expected=expected(inputs, {}))


def test_large_scores_do_not_overflow(rng):
    inputs = qkv(rng, 1, 1, 1, 50, 400, 64, 16)
    inputs[0] *= 1e4
    want = expected(inputs, {})
    check_node("Attention", inputs, {}, 23, expected=want, tolerance=2e-3)


def test_nan_stays_in_its_row(rng):
    inputs = qkv(rng, 1, 1, 1, 30, 200, 16, 16)
    inputs[0][0, 0, 7, 3] = np.nan
    model = one_node_model("Attention", inputs, {}, 23)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    y = loaded.run(feeds_of(inputs, ()))["y0"]
    is_nan = np.isnan(y).any(-1)[0, 0]
    assert is_nan[7]
    assert is_nan.sum() == 1


@pytest.mark.parametrize(
    "shape", [(1, 3, 4, 700, 64), (1, 3, 300, 300, 64), (2, 1, 900, 50, 33)]
)
def test_results_do_not_depend_on_threads(rng, shape):
    batch, heads, queries, keys, size = shape
    inputs = qkv(rng, batch, heads, heads, queries, keys, size, size)
    model = one_node_model("Attention", inputs, {}, 23).SerializeToString()
    feeds = feeds_of(inputs, ())
    results = [
        np.asarray(trimtab.load_model(model, threads=n).run(feeds)["y0"])
        for n in (1, 2, 3, 5)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_instruction_set(isa):
    code = "from tests.ops.test_attention import check_shapes; check_shapes()"
    run_with_isa(isa, code)


def check_shapes():
    """Shapes at the edges of vectors, tiles and blocks; run per instruction set."""
    rng = np.random.default_rng(1)
    for queries, keys in [(1, 1), (2, 97), (4, 300), (5, 16), (17, 95), (50, 193)]:
        for size, value_size in [(1, 129), (15, 16), (33, 8), (64, 64), (129, 100)]:
            inputs = qkv(rng, 1, 2, 1, queries, keys, size, value_size)
            inputs.append(random_mask(rng, "float", (queries, keys)))
            for attrs in ({}, {"is_causal": 1, "softcap": 5.0}):
                want = expected(inputs, attrs)
                check_node("Attention", inputs, attrs, 23, expected=want)


@pytest.mark.parametrize(
    ("shapes", "attrs"),
    [
        ([(1, 2, 3, 4), (1, 2, 5, 6), (1, 2, 5, 4)], {}),
        ([(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 6, 4)], {}),
        ([(1, 3, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)], {}),
        ([(1, 2, 3, 4), (2, 2, 5, 4), (1, 2, 5, 4)], {}),
        ([(1, 3, 8), (1, 5, 8), (1, 5, 8)], {}),
        ([(1, 3, 8), (1, 5, 8), (1, 5, 8)], {"q_num_heads": 3, "kv_num_heads": 2}),
        ([(3, 8), (5, 8), (5, 8)], {}),
        ([(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4), (2, 3, 3, 5)], {}),
        ([(1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4), (3, 6)], {}),
        ([(1, 2, 3, 4)] * 3, {"qk_matmul_output_mode": 4}),
    ],
)
def test_what_does_not_fit_is_refused(shapes, attrs):
    inputs = [np.zeros(shape, np.float32) for shape in shapes]
    model = one_node_model("Attention", inputs, attrs, 23).SerializeToString()
    with pytest.raises(trimtab.TrimtabError, match="node"):
        trimtab.load_model(model, fallback=False).run(feeds_of(inputs, ()))
