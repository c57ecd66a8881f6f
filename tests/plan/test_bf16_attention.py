"""Attention whose products are of bfloat16, against the definition in double.

On processors without AVX-512 BF16 the same graphs run in float32, and are held to the
same bounds.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import _core
from trimtab.formats import read_model
from trimtab.limits import Limits
from trimtab.optimize.bf16 import to_bf16
from trimtab.source import Source

from .graphs import model, node

Array = np.ndarray

rounds = pytest.mark.skipif(
    not (_core.cpu_info()["avx512_bf16"] and _core.cpu_info()["isa"] == "avx512"),
    reason="the processor has no AVX-512 BF16",
)


def built(content: bytes) -> trimtab.Model:
    """The model with its products in bfloat16."""
    return trimtab.load_model(content, threads=1).rewritten(to_bf16)


def attention_graph(
    q: Array, k: Array, v: Array, mask: Array | None, *, is_transposed: bool
) -> tuple[bytes, dict[str, Array]]:
    """Softmax(Q K^T / 2 + mask) V by plain operators, Q, K, V made by others."""
    keys = "k" if is_transposed else "kt"
    nodes = [
        node("Neg", "minus_q", "q"),
        node("Neg", "minus_k", "k"),
        node("Neg", "minus_v", "v"),
        *([] if is_transposed else [node("Transpose", "k", "kt", perm=[0, 1, 3, 2])]),
        node("MatMul", f"q {keys}", "s"),
        node("Mul", "s half", "h"),
        *([node("Add", "h mask", "m")] if mask is not None else []),
        node("Softmax", "m" if mask is not None else "h", "p", axis=-1),
        node("MatMul", "p v", "y"),
    ]
    fed = {"minus_q": -q, "minus_v": -v}
    fed["minus_k"] = -(k.swapaxes(2, 3) if is_transposed else k)
    constants: dict[str, Any] = {"half": np.float32(0.5)}
    if mask is not None:
        constants["mask"] = mask
    return model(nodes, fed, ["y"], constants)


def rounded(x: Array) -> Array:
    return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def truth(q: Array, k: Array, v: Array, mask: Array | None, scale: float) -> Array:
    """In double, of what bfloat16 has of Q, K and V."""
    scores = rounded(q) @ rounded(k).swapaxes(-1, -2) * scale
    if mask is not None:
        scores = scores + mask
    high = scores.max(axis=-1, keepdims=True)
    shares = np.exp(scores - np.where(np.isfinite(high), high, 0))
    return shares / shares.sum(axis=-1, keepdims=True) @ rounded(v)


def implementations(model: trimtab.Model, inputs: dict[str, Array]) -> list[str]:
    return [
        step[3]
        for step in model.core.program().steps(*inputs.values())
        if step[1].startswith("Attention")
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    heads=st.integers(1, 3),
    queries=st.sampled_from([1, 4, 5, 17, 48, 49, 130]),
    keys=st.sampled_from([1, 2, 15, 16, 33, 128, 255, 256, 257, 530]),
    size=st.sampled_from([1, 2, 6, 16, 31, 32, 34, 64, 80]),
    values=st.sampled_from([1, 7, 16, 33, 64]),
    has_mask=st.booleans(),
    is_transposed=st.booleans(),
)
def test_products_of_bfloat16_are_near_the_truth(
    seed: int,
    heads: int,
    queries: int,
    keys: int,
    size: int,
    values: int,
    *,
    has_mask: bool,
    is_transposed: bool,
) -> None:
    rng = np.random.default_rng(seed)
    q, k, v = (
        rng.standard_normal((2, heads, n, width)).astype(np.float32)
        for n, width in ((queries, size), (keys, size), (keys, values))
    )
    mask = None
    if has_mask:
        hides = rng.random((2, 1, queries, keys)) < 0.3
        hides[..., 0] = False
        mask = np.where(hides, np.float32(-np.inf), np.float32(0.25))
    content, inputs = attention_graph(q, k, v, mask, is_transposed=is_transposed)
    given_back = next(iter(built(content).run(inputs).values()))
    np.testing.assert_allclose(
        given_back, truth(q, k, v, mask, 0.5), atol=0.02 * np.abs(v).max(), rtol=0.02
    )


@rounds
def test_the_rounding_version_runs_where_it_pays() -> None:
    rng = np.random.default_rng(0)

    def ran(queries: int, size: int) -> list[str]:
        q = rng.standard_normal((1, 2, queries, size)).astype(np.float32)
        k = rng.standard_normal((1, 2, 64, size)).astype(np.float32)
        content, inputs = attention_graph(q, k, k, None, is_transposed=False)
        return implementations(built(content), inputs)

    assert ran(64, 32) == ["attention:avx512_bf16"]
    assert ran(64, 31) == ["attention:avx512"]
    assert ran(4, 32) == ["attention:avx512"]


def test_the_operator_attention_rounds_too() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((1, 2, 40, 32)).astype(np.float32) for _ in range(3))
    nodes = [
        *(node("Neg", f"minus_{x}", x) for x in "qkv"),
        node("Attention", "q k v", "y", is_causal=1, scale=0.5),
    ]
    content, inputs = model(
        nodes,
        {f"minus_{n}": -x for n, x in zip("qkv", (q, k, v), strict=True)},
        ["y"],
        {},
        opset=24,
    )
    served = built(content)
    if _core.cpu_info()["avx512_bf16"] and _core.cpu_info()["isa"] == "avx512":
        assert implementations(served, inputs) == ["attention:avx512_bf16"]
    mask = np.where(np.tri(40, dtype=bool), 0.0, -np.inf)
    np.testing.assert_allclose(
        next(iter(served.run(inputs).values())),
        truth(q, k, v, mask, 0.5),
        atol=0.02 * np.abs(v).max(),
        rtol=0.02,
    )
    plain = trimtab.load_model(content, threads=1).run(inputs)
    assert np.abs(next(iter(plain.values())) - truth(q, k, v, mask, 0.5)).max() < 0.02


@pytest.mark.parametrize("queries", [48, 300])
@pytest.mark.parametrize("window", [-1, 0, 70])
def test_keys_that_no_row_of_a_block_sees(queries: int, window: int) -> None:
    rng = np.random.default_rng(queries)
    q, k, v = (
        rng.standard_normal((1, 1, n, 32)).astype(np.float32)
        for n in (queries, 300, 300)
    )
    nodes = [
        *(node("Neg", f"minus_{x}", x) for x in "qkv"),
        node(
            "Attention", "q k v", "y", is_causal=1, scale=0.5, left_window_size=window
        ),
    ]
    content, inputs = model(
        nodes,
        {f"minus_{n}": -x for n, x in zip("qkv", (q, k, v), strict=True)},
        ["y"],
        {},
        opset=24,
    )
    row, key = np.arange(queries)[:, None], np.arange(300)
    sees = (key <= row) & ((window < 0) | (key >= row - window))
    wanted = truth(q, k, v, np.where(sees, 0.0, -np.inf), 0.5)
    for served in (built(content), trimtab.load_model(content, threads=1)):
        (y,) = served.run(inputs).values()
        np.testing.assert_allclose(y, wanted, atol=0.02 * np.abs(v).max(), rtol=0.02)


def test_rows_whose_keys_are_all_padding_take_the_mean() -> None:
    rng = np.random.default_rng(2)
    q, k, v = (rng.standard_normal((2, 2, 60, 32)).astype(np.float32) for _ in range(3))
    mask = np.zeros((2, 1, 60, 60), np.float32)
    mask[1] = np.finfo(np.float32).min
    content, inputs = attention_graph(q, k, v, mask, is_transposed=True)
    (y,) = built(content).run(inputs).values()
    np.testing.assert_allclose(
        y[1],
        np.broadcast_to(rounded(v[1]).mean(1, keepdims=True), y[1].shape),
        atol=0.01,
    )


def test_products_that_are_no_attention_stay() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 8, 8)).astype(np.float32)
    content, _ = model(
        [node("Relu", "x", "r"), node("MatMul", "r r", "s"), node("Tanh", "s", "y")],
        {"x": x},
        ["y"],
        {},
    )
    graph = read_model(Source.of(content).open(), Limits())
    assert all(n.op_type != "Cast" for n in to_bf16(graph).graph.nodes)


def test_attention_in_double_stays_in_double() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 8, 8))
    nodes = [
        node("Neg", "x", "q"),
        node("MatMul", "q q", "s"),
        node("Softmax", "s", "p", axis=-1),
        node("MatMul", "p q", "y"),
    ]
    content, _ = model(nodes, {"x": x}, ["y"], {})
    graph = read_model(Source.of(content).open(), Limits())
    assert all(n.op_type != "Cast" for n in to_bf16(graph).graph.nodes)
