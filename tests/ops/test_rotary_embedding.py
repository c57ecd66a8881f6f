"""RotaryEmbedding of ai.onnx against onnx.reference's definition, of com.microsoft
against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, feeds_of, one_node_model

import trimtab


def tables(rng, *shape, dtype="f4"):
    angles = rng.uniform(0, 6, shape)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def definition(x, cosines, sines, interleaved, turned):
    """Turn [batch, tokens, heads, size] by tables [batch, tokens, half], in float64."""
    x = x.astype(np.float64)
    c, s = (t.astype(np.float64)[:, :, None] for t in (cosines, sines))
    pairs, rest = x[..., :turned], x[..., turned:]
    if interleaved:
        a, b = pairs[..., 0::2], pairs[..., 1::2]
    else:
        a, b = np.split(pairs, 2, axis=-1)
    real, imaginary = c * a - s * b, s * a + c * b
    if interleaved:
        pairs = np.stack([real, imaginary], -1).reshape(pairs.shape)
    else:
        pairs = np.concatenate([real, imaginary], -1)
    return np.concatenate([pairs, rest], -1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 4),
    st.sampled_from([(8, 0), (8, 4), (6, 6), (40, 34), (64, 0)]),
    st.booleans(),
    st.sampled_from([3, 4]),
    st.booleans(),
    st.sampled_from(["f2", "f4"]),
)
def test_it_turns_pairs_of_items(
    seed, batch, tokens, heads, sizes, interleaved, rank, by_place, dtype
):
    rng = np.random.default_rng(seed)
    size, turned = sizes
    half = (turned or size) // 2
    x = rng.standard_normal((batch, tokens, heads, size)).astype(dtype)
    places = rng.integers(0, 9, (batch, tokens)) if by_place else None
    shape = (9, half) if by_place else (batch, tokens, half)
    cosines, sines = tables(rng, *shape, dtype=dtype)
    rows = [t[places] if by_place else t for t in (cosines, sines)]
    want = definition(x, *rows, interleaved, turned or size).astype(dtype)
    attributes = {
        "interleaved": int(interleaved),
        "rotary_embedding_dim": turned,
        "num_heads": heads,
    }
    if rank == 4:
        x, want = (np.ascontiguousarray(t.swapaxes(1, 2)) for t in (x, want))
    else:
        x, want = (t.reshape(batch, tokens, heads * size) for t in (x, want))
    inputs = [x, cosines, sines, places]
    check_node("RotaryEmbedding", inputs, attributes, 23, expected=[want])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([(8, 0), (16, 8)]),
    st.booleans(),
    st.sampled_from([3, 4]),
    st.booleans(),
)
def test_that_of_com_microsoft(
    seed, batch, tokens, heads, sizes, interleaved, rank, from_one
):
    rng = np.random.default_rng(seed)
    size, turned = sizes
    x = rng.standard_normal((batch, tokens, heads * size)).astype("f4")
    if rank == 4:
        x = np.ascontiguousarray(
            x.reshape(batch, tokens, heads, size).transpose(0, 2, 1, 3)
        )
    cosines, sines = tables(rng, 12, (turned or size) // 2)
    places = np.array([3]) if from_one else rng.integers(0, 12, (batch, tokens))
    attributes = {"interleaved": int(interleaved)}
    if turned:
        attributes |= {"rotary_embedding_dim": turned, "num_heads": heads}
    check_node(
        "RotaryEmbedding",
        [x, places, cosines, sines],
        attributes,
        domain="com.microsoft",
    )


@pytest.mark.parametrize("places", [[[0, -1]], [[0, 9]], [[2**62, 0]]])
def test_positions_outside_of_the_tables_are_refused(places):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 2, 8)).astype("f4")
    inputs = [x, *tables(rng, 9, 4), np.array(places)]
    model = one_node_model("RotaryEmbedding", inputs, {"num_heads": 1}, 23)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    with pytest.raises(trimtab.InputError, match="outside of the 9 rows"):
        loaded.run(feeds_of(inputs, ()))


@pytest.mark.parametrize(
    ("attributes", "shapes"),
    [
        ({"num_heads": 3}, [(1, 2, 8), (9, 4), (9, 4), (1, 2)]),
        ({"num_heads": 0}, [(1, 2, 8), (9, 4), (9, 4), (1, 2)]),
        ({"num_heads": 1}, [(1, 2, 8), (9, 3), (9, 3), (1, 2)]),
        ({"num_heads": 1}, [(1, 2, 8), (9, 4), (8, 4), (1, 2)]),
        ({"num_heads": 1}, [(1, 2, 8), (9, 4), (9, 4), (2, 2)]),
        ({"num_heads": 1, "rotary_embedding_dim": 10}, [(1, 2, 8), (9, 5), (9, 5)]),
        ({"num_heads": 1, "rotary_embedding_dim": 3}, [(1, 2, 8), (9, 1), (9, 1)]),
        ({"num_heads": 1}, [(2, 8), (9, 4), (9, 4), (1, 2)]),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(attributes, shapes):
    inputs = [
        np.zeros(shape, np.int64 if i == 3 else np.float32)
        for i, shape in enumerate(shapes)
    ]
    model = one_node_model("RotaryEmbedding", inputs, attributes, 23)
    with pytest.raises(trimtab.TrimtabError):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run(feeds_of(inputs, ()))
