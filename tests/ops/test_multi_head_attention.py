"""MultiHeadAttention of com.microsoft against onnxruntime and its packings against
each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node

DOMAIN = "com.microsoft"


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def padding(rng, kind, batch, queries, keys):
    """A mask of keys of this kind, in which every row keeps some key."""
    if kind == "none":
        return None
    if kind == "length":
        return rng.integers(1, keys + 1, batch).astype(np.int32)
    shape = (batch, keys) if kind == "keys" else (batch, queries, keys)
    mask = rng.integers(0, 2, shape).astype(np.int32)
    mask[..., 0] = 1
    return mask


def inputs_of(rng, batch, heads, queries, keys, size, value_size, bias, past):
    """Query, key, value, bias, and the caches of `past` tokens (None: no cache)."""
    width, value_width = heads * size, heads * value_size
    return (
        floats(rng, batch, queries, width),
        floats(rng, batch, keys, width),
        floats(rng, batch, keys, value_width),
        floats(rng, 2 * width + value_width) if bias else None,
        None if past is None else floats(rng, batch, heads, past, size),
        None if past is None else floats(rng, batch, heads, past, value_size),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from([1, 2, 5]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 4, 8, 20]),
    st.booleans(),
    st.sampled_from([None, 0, 1, 6]),
    st.sampled_from(["none", "length", "keys", "rows"]),
    st.sampled_from([None, (1, 1), (0, 1), (1, 0), (0, 0)]),
    st.booleans(),
)
def test_it_gives_what_onnxruntime_gives(
    seed, batch, heads, queries, keys, size, bias, past, kind, score_bias, causal
):
    rng = np.random.default_rng(seed)
    if past is not None or causal:
        keys = queries  # what onnxruntime takes
    q, k, v, b, past_k, past_v = inputs_of(
        rng, batch, heads, queries, keys, size, size, bias, past
    )
    total = keys + (past or 0)
    if kind == "length" and past:
        kind = "keys"
    mask = padding(rng, kind, batch, queries, total)
    added = None
    if score_bias is not None:
        rows = 1 if score_bias[0] else batch, 1 if score_bias[1] else heads
        added = floats(rng, *rows, queries, total)
    attributes = {"num_heads": heads}
    if causal:
        attributes["unidirectional"] = 1
    check_node(
        "MultiHeadAttention",
        [q, k, v, b, mask, added, past_k, past_v],
        attributes,
        domain=DOMAIN,
        outputs=1 if past is None else 3,
    )
