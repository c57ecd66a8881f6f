"""Operators of com.microsoft that are rewritten when a file is read: against
onnxruntime, and where it has no kernel against a few lines of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf
from tests.ops.check import check_node, compare, one_node_model

import trimtab
from trimtab.formats.onnx_contrib import CONTRIB

DOMAIN = "com.microsoft"


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def check(op_type, inputs, attributes=None, **more):
    return check_node(op_type, inputs, attributes, domain=DOMAIN, **more)


# ---- attention ---------------------------------------------------------------------


def mask_index(rng, kind, batch, tokens, total, causal):
    """A mask of every kind that Attention takes; each row keeps some key.

    Where a row keeps none, onnxruntime adds -10000 to all its scores, which leaves them
    three digits.
    """
    if kind == "none":
        return None
    if kind == "length":
        return rng.integers(1, total + 1, batch).astype(np.int32)
    if kind == "range":
        starts = rng.integers(0, total - tokens + 1 if causal else total, batch)
        ends = starts + 1 + rng.integers(0, total, batch) % (total - starts)
        return np.concatenate([ends, starts]).astype(np.int32)
    if kind == "nothing":
        return np.ones((batch, 1), np.int32)
    shape = (batch, total) if kind == "keys" else (batch, tokens, total)
    mask = rng.integers(0, 2, shape).astype(np.int32)
    mask[..., 0] = 1
    return mask


KINDS = ["none", "length", "range", "nothing", "keys", "rows"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from([1, 3]),
    st.integers(1, 7),
    st.sampled_from([1, 4, 16]),
    st.sampled_from(KINDS),
    st.sampled_from([None, 0, 5]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([11, 13, 17]),
)
def test_attention_gives_what_onnxruntime_gives(
    seed, batch, heads, tokens, size, kind, past, causal, bias, added, opset
):
    rng = np.random.default_rng(seed)
    width = heads * size
    total = tokens + (past or 0)
    attributes = {"num_heads": heads, "unidirectional": int(causal)}
    inputs = [
        floats(rng, batch, tokens, 6),
        floats(rng, 6, 3 * width),
        floats(rng, 3 * width) if bias else None,
        mask_index(rng, kind, batch, tokens, total, causal),
        None if past is None else floats(rng, 2, batch, heads, past, size),
        floats(rng, batch, heads, tokens, total) if added and past is None else None,
    ]
    check(
        "Attention",
        inputs,
        attributes,
        opset=opset,
        outputs=1 if past is None else 2,
        constants=[1, 2],
    )


def test_a_mask_by_places_is_the_mask_of_the_rows_behind_the_past():
    rng = np.random.default_rng(16)
    places = rng.integers(0, 2, (2, 1, 12, 12)).astype(np.int32)
    places[..., 0] = 1
    inputs = [floats(rng, 2, 4, 6), floats(rng, 6, 24), floats(rng, 24)]
    past = floats(rng, 2, 2, 2, 3, 4)
    rows = np.ascontiguousarray(places[:, 0, 3:7, :7])
    got = check(
        "Attention",
        [*inputs, rows, past],
        {"num_heads": 2},
        outputs=2,
        constants=[1, 2],
    )
    check(  # onnxruntime has these masks on GPUs only
        "Attention",
        [*inputs, places, past],
        {"num_heads": 2},
        outputs=2,
        constants=[1, 2],
        expected=got,
    )


def test_attention_of_values_of_another_width():
    rng = np.random.default_rng(0)
    inputs = [floats(rng, 2, 5, 6), floats(rng, 6, 8 + 8 + 12), floats(rng, 28)]
    attributes = {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12], "scale": 0.3}
    check("Attention", inputs, attributes, constants=[1, 2])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", ["none", "length", "keys"])
@pytest.mark.parametrize("past", [None, 3])
def test_q_attention(kind, past, signed):
    rng = np.random.default_rng(1)
    kinds = np.int8 if signed else np.uint8
    total = 5 + (past or 0)
    inputs = [
        rng.integers(0, 100, (2, 5, 8)).astype(np.uint8),
        rng.integers(-50, 50, (8, 24)).astype(kinds),
        floats(rng, 24),
        np.array(0.03, np.float32),
        np.array(0.02, np.float32),
        mask_index(rng, kind, 2, 5, total, causal=False),
        np.array(40, np.uint8),
        np.array(3, kinds),
        None if past is None else floats(rng, 2, 2, 2, past, 4),
    ]
    check(
        "QAttention",
        inputs,
        {"num_heads": 2},
        outputs=2 if past else 1,
        constants=[1, 2, 3, 4, 6, 7],
    )


# ---- products ----------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([(), (3,), (2, 3)]),
    st.sampled_from(["FusedMatMul", "TransposeMatMul"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_fused_matmul(seed, trans_a, trans_b, alpha, batch, op_type, dtype):
    rng = np.random.default_rng(seed)
    a, b = floats(rng, *batch, 4, 5), floats(rng, *batch, 5, 6)
    a = np.ascontiguousarray(a.swapaxes(-1, -2)) if trans_a else a
    b = np.ascontiguousarray(b.swapaxes(-1, -2)) if trans_b else b
    attributes = {"transA": int(trans_a), "transB": int(trans_b), "alpha": alpha}
    if op_type == "TransposeMatMul":
        dtype = np.float32  # the only one that onnxruntime has
    check(op_type, [a.astype(dtype), b.astype(dtype)], attributes)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_fused_matmul_with_batches_in_the_middle(trans_a, trans_b):
    rng = np.random.default_rng(2)
    a = floats(rng, 5, 2, 3, 4) if trans_a else floats(rng, 4, 2, 3, 5)
    b = floats(rng, 6, 2, 3, 5) if trans_b else floats(rng, 5, 2, 3, 6)
    attributes = {
        "transA": trans_a,
        "transB": trans_b,
        "transBatchA": 1,
        "transBatchB": 1,
    }
    check("FusedMatMul", [a, b], attributes)


def test_a_transpose_of_unknown_rank():
    rng = np.random.default_rng(3)
    a, b = floats(rng, 2, 3, 4), floats(rng, 2, 5, 4)
    nodes = [
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("FusedMatMul", ["a", "r"], ["y"], domain=DOMAIN, transB=1),
    ]
    infos = [
        helper.make_tensor_value_info("a", 1, a.shape),
        helper.make_tensor_value_info("b", 1, b.shape),
    ]
    graph = helper.make_graph(
        nodes, "g", infos, [helper.make_empty_tensor_value_info("y")]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    got = loaded.run({"a": a, "b": b})["y"]
    compare(np.asarray(got), a @ np.maximum(b, 0).swapaxes(1, 2))


ACTIVATIONS = {
    "Relu": {},
    "Tanh": {},
    "Sigmoid": {},
    "LeakyRelu": {"activation_alpha": 0.2},
    "Elu": {"activation_alpha": 0.7},
    "HardSigmoid": {"activation_alpha": 0.3, "activation_beta": 0.4},
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_gemm(activation):
    rng = np.random.default_rng(4)
    inputs = [floats(rng, 4, 5), floats(rng, 6, 5), floats(rng, 6)]
    attributes = {"activation": activation, "transB": 1, "alpha": 0.5, "beta": 2.0}
    check("FusedGemm", inputs, attributes | ACTIVATIONS[activation])


PARAMETERS = {
    "": [],
    "Relu": [],
    "Tanh": [],
    "Sigmoid": [],
    "LeakyRelu": [0.2],
    "Clip": [-0.5, 0.5],
    "HardSigmoid": [0.3, 0.4],
}


@pytest.mark.parametrize("activation", PARAMETERS)
@pytest.mark.parametrize("with_sum", [False, True])
def test_fused_conv(activation, with_sum):
    rng = np.random.default_rng(5)
    x, w, b = floats(rng, 2, 3, 6, 6), floats(rng, 4, 3, 3, 3), floats(rng, 4)
    z = floats(rng, 2, 4, 6, 6) if with_sum else None
    attributes = {"pads": [1, 1, 1, 1]}
    if activation:
        attributes["activation"] = activation
    if PARAMETERS[activation]:
        attributes["activation_params"] = PARAMETERS[activation]
    check("FusedConv", [x, w, b, z], attributes)


@pytest.mark.parametrize("op_type", ["NhwcConv", "NhwcFusedConv"])
def test_convolution_with_channels_last(op_type):
    rng = np.random.default_rng(6)
    x, w, b = floats(rng, 2, 6, 5, 3), floats(rng, 4, 3, 3, 3), floats(rng, 4)
    conv = one_node_model("Conv", [x.transpose(0, 3, 1, 2), w, b], {"strides": [2, 1]})
    loaded = trimtab.load_model(conv.SerializeToString())
    y = loaded.run({"x0": x.transpose(0, 3, 1, 2), "x1": w, "x2": b})["y0"]
    check(
        op_type,
        [x, w, b],
        {"strides": [2, 1]},
        constants=[1, 2],
        expected=[np.ascontiguousarray(np.asarray(y).transpose(0, 2, 3, 1))],
    )


def test_max_pool_with_channels_last():
    x = np.random.default_rng(7).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    check("NhwcMaxPool", [x], attributes)


# ---- weights of few bits -----------------------------------------------------------


def nbits(rng, n, k, block, bits, order=None, zeros="bytes", dtype=np.float32):
    """Inputs of MatMulNBits, and the weights [k, n] that they mean."""
    blocks = -(-k // block)
    numbers = rng.integers(0, 1 << bits, (n, blocks * block))
    scales = (0.1 + rng.random((n, blocks))).astype(dtype)
    points = rng.integers(0, 1 << bits, (n, blocks))
    if zeros == "none":
        points[:] = 1 << bits - 1
    where = np.arange(k) // block if order is None else order
    real = (numbers[:, :k] - points[:, where]) * scales.astype(np.float32)[:, where]
    packed = pack(numbers, bits).reshape(n, blocks, block * bits // 8)
    given = {
        "none": None,
        "bytes": pack(points, bits),
        "floats": points.astype(dtype),
    }[zeros]
    return [packed, scales, given, order], real.T.astype(np.float32)


def pack(numbers, bits):
    """Rows of numbers, the lowest bits first."""
    per = 8 // bits
    n = numbers.shape[1]
    numbers = np.pad(numbers, [(0, 0), (0, -n % per)])
    parts = [numbers[:, i::per] << bits * i for i in range(per)]
    return np.bitwise_or.reduce(parts).astype(np.uint8)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", ["none", "bytes", "floats"])
@pytest.mark.parametrize("order", ["blocks", "own"])
def test_matmul_nbits_with_columns_in_an_order_of_their_own(bits, zeros, order):
    rng = np.random.default_rng(8)
    k, block = 70, 32
    groups = np.arange(k) // block
    if order == "own":
        groups = rng.permutation(groups)
    rest, weights = nbits(rng, 9, k, block, bits, groups.astype(np.int32), zeros)
    x, bias = floats(rng, 3, k), floats(rng, 9)
    attributes = {"K": k, "N": 9, "bits": bits, "block_size": block}
    check(
        "MatMulNBits",
        [x, *rest, bias],
        attributes,
        constants=[1, 2, 3, 4, 5],
        expected=[x @ weights + bias],
    )


@pytest.mark.parametrize("zeros", ["none", "bytes", "floats"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_matmul_nbits_of_float16(zeros, with_bias):
    rng = np.random.default_rng(9)
    rest, weights = nbits(rng, 8, 64, 32, 4, None, zeros, np.float16)
    x, bias = floats(rng, 3, 64).astype(np.float16), floats(rng, 8).astype(np.float16)
    want = x.astype(np.float32) @ weights
    want = want + bias if with_bias else want
    check(
        "MatMulNBits",
        [x, *rest, bias if with_bias else None],
        {"K": 64, "N": 8, "bits": 4, "block_size": 32},
        constants=[1, 2, 3, 5],
        expected=[want.astype(np.float16)],
        tolerance=5e-3,
    )


# ---- text --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([2, 3]),
    st.sampled_from([11, 13, 18]),
)
def test_embed_layer_norm(seed, batch, tokens, segments, mask, places, outputs, opset):
    rng = np.random.default_rng(seed)
    width = 8

    def indices(n):
        return rng.integers(0, n, (batch, tokens)).astype(np.int32)

    inputs = [
        indices(11),
        indices(2) if segments else None,
        floats(rng, 11, width),
        floats(rng, 9, width),
        floats(rng, 2, width) if segments else None,
        floats(rng, width),
        floats(rng, width),
        indices(2) if mask else None,
        indices(9) if places else None,
    ]
    check(
        "EmbedLayerNormalization",
        inputs,
        {"epsilon": 1e-6},
        opset=opset,
        outputs=outputs,
        constants=[2, 3, 4, 5, 6],
    )


def test_bias_split_gelu():
    rng = np.random.default_rng(10)
    x, bias = floats(rng, 2, 3, 8), floats(rng, 8)
    left, right = np.split((x + bias).astype(np.float64), 2, axis=-1)
    want = left * right * 0.5 * (1 + erf(right / np.sqrt(2)))
    for opset in (13, 18):
        check(
            "BiasSplitGelu",
            [x, bias],
            opset=opset,
            expected=[want.astype(np.float32)],
        )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_swiglu(dtype):
    rng = np.random.default_rng(11)
    a, b = (rng.standard_normal((3, 9)).astype(dtype) for _ in "ab")
    x = a.astype(np.float64)
    want = x / (1 + np.exp(-1.5 * x)) * b
    check_node(
        "SwiGLU", [a, b], {"alpha": 1.5}, opset=28, expected=[want.astype(dtype)]
    )


def test_trilu_before_ai_onnx_had_it():
    x = floats(np.random.default_rng(12), 4, 5)
    check("Trilu", [x], {"upper": 0}, opset=14)


# ---- recurrent ---------------------------------------------------------------------


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("per_column", [False, True])
def test_dynamic_quantize_lstm(directions, per_column):
    rng = np.random.default_rng(13)
    hidden, size = 6, 5

    def weights(n):
        shape = (directions, 4 * hidden) if per_column else (directions,)
        return (
            rng.integers(-120, 120, (directions, n, 4 * hidden)).astype(np.int8),
            (0.002 + 0.002 * rng.random(shape)).astype(np.float32),
            np.zeros(shape, np.int8),
        )

    w, r = weights(size), weights(hidden)
    inputs = [
        floats(rng, 7, 2, size),
        w[0],
        r[0],
        floats(rng, directions, 8 * hidden),
        None,
        None,
        None,
        None,
        *w[1:],
        *r[1:],
    ]
    attributes = {
        "hidden_size": hidden,
        "direction": "bidirectional" if directions == 2 else "forward",
    }
    check(  # onnxruntime rounds what goes into each product to 8 bits
        "DynamicQuantizeLSTM",
        inputs,
        attributes,
        outputs=3,
        constants=[1, 2, 3, 8, 9, 10, 11],
        tolerance=1e-2,
    )


# ---- FlexAttention -----------------------------------------------------------------


def flex(dtype, heads, key_heads, score_mod=None, prob_mod=None, **more):
    """A model of FlexAttention; the bodies are lists of nodes from s to t."""

    def body(nodes, name):
        values = [
            helper.make_tensor_value_info(x, TensorProto.FLOAT, list("BHLS"))
            for x in "st"
        ]
        two = numpy_helper.from_array(np.array(2, np.float32), "two")
        return helper.make_graph(nodes, name, values[:1], values[1:], [two])

    if score_mod:
        more["score_mod"] = body(score_mod, "score_mod")
    if prob_mod:
        more["prob_mod"] = body(prob_mod, "prob_mod")
    node = helper.make_node(
        "FlexAttention", list("qkv"), ["y"], domain="ai.onnx.preview", **more
    )
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    infos = [
        helper.make_tensor_value_info(x, code, ["b", h, f"t{x}", "d"])
        for x, h in (("q", heads), ("k", key_heads), ("v", key_heads))
    ]
    graph = helper.make_graph(
        [node], "g", infos, [helper.make_empty_tensor_value_info("y")]
    )
    opsets = [helper.make_opsetid("", 26), helper.make_opsetid("ai.onnx.preview", 1)]
    return helper.make_model(graph, opset_imports=opsets)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("bodies", ["none", "score", "prob", "both"])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_flex_attention(dtype, heads, bodies, scale):
    rng = np.random.default_rng(14)
    score = [
        helper.make_node("Div", ["s", "two"], ["u"]),
        helper.make_node("Tanh", ["u"], ["t"]),
    ]
    prob = [helper.make_node("Mul", ["s", "two"], ["t"])]
    model = flex(
        dtype,
        heads,
        2,
        score if bodies in ("score", "both") else None,
        prob if bodies in ("prob", "both") else None,
        **({} if scale is None else {"scale": scale}),
    )
    q = rng.standard_normal((2, heads, 3, 8)).astype(dtype)
    k = rng.standard_normal((2, 2, 5, 8)).astype(dtype)
    v = rng.standard_normal((2, 2, 5, 4)).astype(dtype)
    wide = [x.astype(np.float64) for x in (q, k, v)]
    scores = wide[0] @ wide[1].repeat(heads // 2, 1).swapaxes(2, 3)
    scores *= 8**-0.5 if scale is None else scale
    if bodies in ("score", "both"):
        scores = np.tanh(scores / 2)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    if bodies in ("prob", "both"):
        p *= 2
    want = (p @ wide[2].repeat(heads // 2, 1)).astype(dtype)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    got = loaded.run({"q": q, "k": k, "v": v})["y"]
    compare(np.asarray(got), want)


# ---- all of them -------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(CONTRIB)),
    st.lists(st.sampled_from(["x", "w", "s", ""]), max_size=13),
    st.integers(1, 3),
    st.sampled_from([11, 17, 28]),
    st.dictionaries(
        st.sampled_from(
            ["num_heads", "K", "N", "block_size", "bits", "alpha", "transA", "opset"]
        ),
        st.integers(-3, 300),
        max_size=4,
    ),
)
def test_nodes_of_any_form_are_run_or_refused(key, inputs, outputs, opset, attributes):
    domain, op_type = key
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, inputs, names, domain=domain, **attributes)
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(floats(rng, 4, 6), "w"),
        numpy_helper.from_array(np.array(0.5, np.float32), "s"),
    ]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])],
        [helper.make_empty_tensor_value_info(name) for name in names],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, opset_imports=opsets)
    try:
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({"x": floats(rng, 2, 3, 4)} if len(loaded.inputs) == 1 else {})
    except trimtab.TrimtabError:
        pass


def test_a_node_in_a_body_is_rewritten_too():
    rng = np.random.default_rng(15)
    x, w = floats(rng, 3, 4), floats(rng, 5, 4)
    branches = {}
    for name, alpha in (("then_branch", 1.0), ("else_branch", 2.0)):
        node = helper.make_node(
            "FusedMatMul", ["x", "w"], [name], domain=DOMAIN, transB=1, alpha=alpha
        )
        branches[name] = helper.make_graph(
            [node], name, [], [helper.make_empty_tensor_value_info(name)]
        )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], **branches)],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4]),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(w, "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    for condition, factor in ((True, 1), (False, 2)):
        got = loaded.run({"c": np.array(condition), "x": x})["y"]
        compare(np.asarray(got), factor * (x @ w.T))
