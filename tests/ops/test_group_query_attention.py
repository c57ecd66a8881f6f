"""GroupQueryAttention of com.microsoft against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tests.ops.check import (
    check_node,
    compare,
    feeds_of,
    one_node_model,
    run_with_isa,
)

import trimtab

DOMAIN = "com.microsoft"


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def tables(rng, n_rows, half):
    angles = rng.uniform(0, 6, (n_rows, half))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def gqa(
    rng,
    batch,
    key_heads,
    groups,
    tokens,
    past,
    size,
    *,
    room=0,
    packed=False,
    rotary=0,
    lengths=None,
):
    """Inputs of a step: `past` tokens held, in a cache with `room` for more."""
    heads = key_heads * groups
    if packed:
        first = [floats(rng, batch, tokens, (heads + 2 * key_heads) * size), None, None]
    else:
        width = key_heads * size
        first = [floats(rng, batch, tokens, heads * size)]
        first += [floats(rng, batch, tokens, width) for _ in "kv"]
    cache = [floats(rng, batch, key_heads, past + room, size) for _ in "kv"]
    total = past + tokens
    if lengths is None:
        lengths = np.full(batch, total - 1, np.int32)
    cosines, sines = (
        tables(rng, total + room + 1, rotary // 2) if rotary else (None,) * 2
    )
    return [*first, *cache, lengths, np.array(total, np.int32), cosines, sines]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([(1, 5), (1, 1), (4, 0), (1, 130), (7, 0)]),
    st.sampled_from([16, 32]),
    st.sampled_from([0, 9]),
    st.booleans(),
    st.sampled_from([0, 16]),
    st.booleans(),
    st.sampled_from([-1, 1, 2, 4, 100]),
    st.sampled_from([0.0, 2.0]),
    st.sampled_from([0, 1]),
    st.sampled_from([None, 0.3]),
)
def test_it_gives_what_onnxruntime_gives(
    seed,
    batch,
    key_heads,
    groups,
    steps,
    size,
    room,
    packed,
    rotary,
    interleaved,
    window,
    softcap,
    smooth,
    scale,
):
    rng = np.random.default_rng(seed)
    tokens, past = steps
    inputs = gqa(
        rng,
        batch,
        key_heads,
        groups,
        tokens,
        past,
        size,
        room=room,
        packed=packed,
        rotary=rotary,
    )
    attributes = {
        "num_heads": key_heads * groups,
        "kv_num_heads": key_heads,
        "local_window_size": window,
        "softcap": softcap,
        "smooth_softmax": smooth,
        "rotary_interleaved": int(interleaved),
        "do_rotary": int(rotary > 0),
    }
    if scale is not None:
        attributes["scale"] = scale
    check_node(
        "GroupQueryAttention",
        inputs,
        attributes,
        domain=DOMAIN,
        outputs=3,
        strided=False,
    )


ATTRIBUTES = {"num_heads": 4, "kv_num_heads": 2}


def run(inputs, attributes=None):
    model = one_node_model(
        "GroupQueryAttention",
        inputs,
        ATTRIBUTES | (attributes or {}),
        outputs=3,
        domain=DOMAIN,
    )
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    return loaded, feeds_of(inputs, ())


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("rotary", [0, 16])
def test_batches_may_hold_different_numbers_of_tokens(tokens, rotary):
    """Each batch alone, with the tokens that it holds, gives the same."""
    rng = np.random.default_rng(1)
    inputs = gqa(rng, 3, 2, 2, tokens, 9, 16, room=4, rotary=rotary)
    inputs[5] = np.array([8, 5, 9], np.int32) + tokens - 1
    inputs[6] = np.array(9 + tokens, np.int32)
    loaded, feeds = run(inputs, {"do_rotary": int(rotary > 0)})
    got = loaded.run(feeds)
    for b in range(3):
        held = int(inputs[5][b]) + 1
        alone = [x[b : b + 1] if i < 6 else x for i, x in enumerate(inputs)]
        alone[6] = np.array(max(held, tokens + 1), np.int32)
        single, feeds = run(alone, {"do_rotary": int(rotary > 0)})
        want = single.run(feeds)
        compare(np.asarray(got["y0"][b : b + 1]), np.asarray(want["y0"]))
        for name in ("y1", "y2"):
            cache = np.asarray(got[name][b : b + 1])
            compare(cache[:, :, :held], np.asarray(want[name])[:, :, :held])
            assert not cache[:, :, held:].any()


@pytest.mark.parametrize("steps", [(1, 5), (3, 4), (6, 0)])
def test_positions_bias_and_sinks(steps):
    rng = np.random.default_rng(2)
    tokens, past = steps
    batch = 1 if tokens > 1 and past else 2  # what onnxruntime takes
    inputs = gqa(rng, batch, 2, 2, tokens, past, 16, rotary=16)
    inputs[7:] = tables(rng, 3 * (past + tokens), 8)
    places = rng.integers(0, past + tokens, (batch, tokens))
    bias = floats(rng, 1, 4, tokens, past + tokens)
    more = [None, None, floats(rng, 4)], [places, None, None], [None, bias, None]
    for extra in more:
        check_node(
            "GroupQueryAttention",
            [*inputs, *extra],
            ATTRIBUTES | {"do_rotary": 1},
            domain=DOMAIN,
            outputs=3,
            strided=False,
        )


@pytest.mark.parametrize("tokens", [1, 4, 5])
@pytest.mark.parametrize("groups", [1, 2, 3, 8])
def test_a_cache_that_is_input_and_output_is_appended_to_in_place(tokens, groups):
    rng = np.random.default_rng(3)
    inputs = gqa(rng, 2, 2, groups, tokens, 9, 16, room=7, rotary=16)
    heads = {"num_heads": 2 * groups, "do_rotary": 1}
    loaded, feeds = run(inputs, heads)
    want = {name: np.array(x) for name, x in loaded.run(feeds).items()}
    before = feeds["x3"].copy()
    out = {"y1": feeds["x3"], "y2": feeds["x4"]}
    got = loaded.run(feeds, out=out)
    np.testing.assert_array_equal(got["y0"], want["y0"])
    for name, cache in out.items():
        np.testing.assert_array_equal(
            cache[:, :, : 9 + tokens], want[name][:, :, : 9 + tokens]
        )
    np.testing.assert_array_equal(feeds["x3"][:, :, :9], before[:, :, :9])
    np.testing.assert_array_equal(
        feeds["x3"][:, :, 9 + tokens :], before[:, :, 9 + tokens :]
    )


def test_other_arrays_that_overlap_are_refused():
    rng = np.random.default_rng(4)
    inputs = gqa(rng, 1, 2, 2, 1, 9, 16, room=7)
    loaded, feeds = run(inputs)
    both = np.concatenate([feeds["x3"], feeds["x4"]])
    for out in (
        {"y1": feeds["x4"], "y2": feeds["x3"]},
        {"y0": feeds["x0"]},
        {"y1": feeds["x3"], "y2": feeds["x3"]},
    ):
        with pytest.raises(trimtab.InputError, match="shares memory"):
            loaded.run(feeds, out=out)
    halves = feeds | {"x3": both[:1], "x4": both[1:]}
    loaded.run(halves, out={"y1": both[:1], "y2": both[1:]})
    grown, feeds = run(gqa(rng, 1, 2, 2, 1, 9, 16))  # no room: another shape
    with pytest.raises(trimtab.InputError):
        grown.run(feeds, out={"y1": feeds["x3"]})


def test_a_cache_with_another_reader_is_not_written_over():
    rng = np.random.default_rng(5)
    inputs = gqa(rng, 1, 2, 2, 1, 9, 16, room=7)
    model = one_node_model(
        "GroupQueryAttention", inputs, ATTRIBUTES, outputs=3, domain=DOMAIN
    )
    model.graph.node.append(helper.make_node("Neg", ["x3"], ["z"]))
    model.graph.output.append(helper.make_empty_tensor_value_info("z"))
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    feeds = feeds_of(inputs, ())
    with pytest.raises(trimtab.InputError, match="shares memory"):
        loaded.run(feeds, out={"y1": feeds["x3"]})
    loaded.run(feeds, out={"y2": feeds["x4"]})


@pytest.mark.parametrize("length", [-2, -1, 2**31 - 1, 16, 3])
def test_lengths_that_do_not_fit_are_refused(length):
    rng = np.random.default_rng(6)
    inputs = gqa(rng, 1, 2, 2, 5, 9, 16, room=2)
    inputs[5] = np.array([length], np.int32)
    loaded, feeds = run(inputs)
    with pytest.raises(trimtab.InputError, match="seqlens_k"):
        loaded.run(feeds)


@pytest.mark.parametrize(
    ("attributes", "change"),
    [
        ({"num_heads": 3}, {}),
        ({"kv_num_heads": 0}, {}),
        ({"num_heads": 2**62, "kv_num_heads": 2**61}, {}),
        ({"do_rotary": 1}, {}),
        ({"qk_output": 1}, {}),
        ({"causal": 0}, {}),
        ({"sliding_window_cache": 1}, {}),
        ({}, {6: np.array(0, np.int32)}),
        ({}, {6: np.array([1, 2], np.int32)}),
        ({}, {5: np.zeros(2, np.int32)}),
        ({}, {3: np.zeros((1, 2, 9, 8), np.float32)}),
        ({}, {1: None}),
        ({}, {4: None}),
    ],
)
def test_what_does_not_go_together_is_refused(attributes, change):
    inputs = gqa(np.random.default_rng(7), 1, 2, 2, 1, 9, 16)
    for i, value in change.items():
        inputs[i] = value
    with pytest.raises(trimtab.TrimtabError):
        loaded, feeds = run(inputs, attributes)
        loaded.run(feeds)


@pytest.mark.parametrize("isa", ["avx2", "scalar"])
def test_other_instruction_sets(isa):
    code = (
        "from tests.ops import test_group_query_attention as t;"
        "t.test_it_gives_what_onnxruntime_gives(); print('ran')"
    )
    assert run_with_isa(isa, code).strip() == "ran"
