"""Products of few rows with a constant: the own kernel, what it absorbs, every ISA."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.ops.check import run_with_isa

import trimtab
from trimtab import _core

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# What may follow the product: nodes from "h" to "y", and the same in float64. "r" is
# a second input like the product, "c" a constant row.
TAILS = {
    "nothing": ([("Identity", "h", {})], lambda h, r, c: h),
    "bias": ([("Add", "h c", {})], lambda h, r, c: h + c),
    "relu": ([("Relu", "h", {})], lambda h, r, c: np.maximum(h, 0)),
    "leaky": (
        [("LeakyRelu", "h", {"alpha": 0.2})],
        lambda h, r, c: np.where(h > 0, h, 0.2 * h),
    ),
    "bias_tanh": (
        [("Add", "h c", {}), ("Tanh", "", {})],
        lambda h, r, c: np.tanh(h + c),
    ),
    "sigmoid": ([("Sigmoid", "h", {})], lambda h, r, c: sigmoid(h)),
    "gelu": (
        [("Gelu", "h", {})],
        lambda h, r, c: h * (1 + erf(h / np.sqrt(2))) / 2,
    ),
    "gelu_tanh": (
        [("Gelu", "h", {"approximate": "tanh"})],
        lambda h, r, c: (
            h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3))) / 2
        ),
    ),
    "hard_swish": (
        [("HardSwish", "h", {})],
        lambda h, r, c: h * np.clip(h / 6 + 0.5, 0, 1),
    ),
    "residual": ([("Add", "h r", {})], lambda h, r, c: h + r),
    "bias_gelu_residual": (
        [("Add", "h c", {}), ("Gelu", "", {}), ("Add", " r", {})],
        lambda h, r, c: (h + c) * (1 + erf((h + c) / np.sqrt(2))) / 2 + r,
    ),
    "gate": ([("Mul", "h r", {})], lambda h, r, c: h * r),
    "relu_row": (
        [("Relu", "h", {}), ("Mul", " c", {})],
        lambda h, r, c: np.maximum(h, 0) * c,
    ),
    "exp": ([("Exp", "h", {})], lambda h, r, c: np.exp(h)),  # a step of its own
}


def build(m: int, k: int, n: int, tail: str, seed: int, transposed: bool) -> bytes:
    """x @ w, then the tail; w is constant, stored as it is or as its transpose."""
    rng = np.random.default_rng(seed)
    w = (rng.standard_normal((k, n)) / max(k, 1) ** 0.5).astype(np.float32)
    constants = {"w": w, "c": rng.standard_normal(n).astype(np.float32)}
    if transposed:
        constants["w"] = np.ascontiguousarray(w.T)
        product = helper.make_node("Gemm", ["x", "w"], ["h"], name="product", transB=1)
    else:
        product = helper.make_node("MatMul", ["x", "w"], ["h"], name="product")
    nodes, last = [product], "h"
    for i, (op, inputs, attributes) in enumerate(TAILS[tail][0]):
        out = "y" if i == len(TAILS[tail][0]) - 1 else f"t{i}"
        names = [name or last for name in inputs.split(" ")]
        nodes.append(helper.make_node(op, names, [out], name=f"tail{i}", **attributes))
        last = out
    used = {name for node in nodes for name in node.input}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [m, k])]
    if "r" in used:
        inputs.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [m, n]))
    graph = helper.make_graph(
        nodes,
        "few_rows",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [m, n])],
        [
            numpy_helper.from_array(x, name)
            for name, x in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


def expected(x, r, k: int, n: int, tail: str, seed: int):
    rng = np.random.default_rng(seed)
    w = (rng.standard_normal((k, n)) / max(k, 1) ** 0.5).astype(np.float32)
    c = rng.standard_normal(n).astype(np.float32)
    return TAILS[tail][1](x.astype(np.float64) @ w.astype(np.float64), r, c)


def check(m: int, k: int, n: int, tail: str, seed: int, transposed: bool) -> list[str]:
    """Compare with float64; the implementations that ran."""
    rng = np.random.default_rng(seed + 1)
    x = rng.standard_normal((m, k)).astype(np.float32)
    r = rng.standard_normal((m, n)).astype(np.float32)
    model = trimtab.load_model(build(m, k, n, tail, seed, transposed), threads=2)
    feeds = {"x": x, "r": r} if len(model.inputs) == 2 else {"x": x}
    want = expected(x, r, k, n, tail, seed)
    got = model.run(feeds)["y"]
    # k products of order 1 / sqrt(k) are summed in float32
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)
    strided = {name: np.asfortranarray(a) for name, a in feeds.items()}
    np.testing.assert_allclose(model.run(strided)["y"], want, rtol=1e-4, atol=2e-5)
    one = trimtab.load_model(build(m, k, n, tail, seed, transposed), threads=1)
    np.testing.assert_array_equal(one.run(feeds)["y"], got)
    return [node.implementation for node in model.profile(feeds, repeat=1).nodes]


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 50),
    k=st.integers(1, 300),
    n=st.integers(1, 200),
    tail=st.sampled_from(sorted(TAILS)),
    seed=st.integers(0, 1000),
    transposed=st.booleans(),
)
def test_products_of_few_rows_equal_their_definition(m, k, n, tail, seed, transposed):
    check(m, k, n, tail, seed, transposed)


@pytest.mark.parametrize("tail", sorted(TAILS))
def test_what_follows_is_absorbed(tail: str) -> None:
    names = check(17, 384, 100, tail, 3, False)
    assert names[0].startswith("matmul_packed:")
    assert len(names) == (2 if tail == "exp" else 1), names


def test_large_weights_are_read_ahead_to_their_end() -> None:
    for m in (1, 3, 9, 17, 30, 48):
        check(m, 700, 1030, "bias", m, False)


def test_the_pass_switches_the_kernel_off() -> None:
    passes = [name for name in _core.PASSES if name != "kernels"]
    data = build(4, 64, 64, "relu", 0, False)
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    plain = trimtab.load_model(data, threads=1, passes=passes)
    own = trimtab.load_model(data, threads=1)
    assert "brg" in plain.profile(x).nodes[0].implementation
    assert "matmul_packed" in own.profile(x).nodes[0].implementation
    np.testing.assert_allclose(own(x), plain(x), rtol=1e-4, atol=1e-5)


def test_infinities_and_nan_pass_through() -> None:
    data = build(2, 3, 5, "relu", 0, False)
    x = np.array([[-np.inf, 0, 0], [np.nan, 1, 1]], np.float32)
    want = np.maximum(
        x @ numpy_helper.to_array(onnx.load_from_string(data).graph.initializer[0]), 0
    )
    np.testing.assert_array_equal(trimtab.load_model(data)(x), want)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_isa_agrees_with_the_definition(isa: str) -> None:
    code = (
        "from tests.ops.test_matmul_few_rows import TAILS, check\n"
        "for i, tail in enumerate(sorted(TAILS)):\n"
        "    for m, k, n in ((1, 7, 5), (5, 130, 47), (13, 96, 48), (33, 200, 97)):\n"
        "        print(check(m, k, n, tail, i, i % 2 == 0)[0])\n"
    )
    printed = run_with_isa(isa, code)
    ran = {name.rpartition(":")[2] for name in printed.split()}
    # a machine without the instruction set runs the best that it has
    assert len(ran) == 1
    if isa == "scalar":
        assert ran == {isa}
