"""Products with dequantised weights read the integers: right, and nothing else changes.

The oracle is the definition in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import trimtab

K, N = 264, 257


@dataclass(frozen=True)
class Weights:
    """DequantizeLinear and the product behind it.

    `scales` is "one", "columns" or the length of a block along k; `stored` is how the
    integers lie: "plain", "transpose" (by a node) or "gemm" (transB).
    """

    dtype: str = "int8"
    scales: str | int = "columns"
    has_zeros: bool = False
    stored: str = "plain"
    has_bias: bool = False
    k: int = K
    n: int = N
    seed: int = 0

    @property
    def is_turned(self) -> bool:
        return self.stored != "plain"

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        """Integers, scales, zero points as [k, n], [blocks, n]; the bias."""
        rng = np.random.default_rng(self.seed)
        info = ml_dtypes.iinfo(self.dtype)
        low, end = int(info.min), int(info.max) + 1
        w = rng.integers(low, end, (self.k, self.n)).astype(self.dtype)
        n_blocks = -(-self.k // self.scales) if isinstance(self.scales, int) else 1
        shape = (n_blocks, 1 if self.scales == "one" else self.n)
        scales = rng.uniform(0.001, 0.01, shape).astype(np.float32)
        zeros = rng.integers(low, end, shape).astype(self.dtype)
        return w, scales, zeros, rng.standard_normal(self.n).astype(np.float32)

    def real(self) -> Any:
        w, scales, zeros, _ = self.arrays()
        length = self.scales if isinstance(self.scales, int) else self.k
        zeros = zeros if self.has_zeros else np.zeros_like(zeros)
        wide = [
            np.repeat(x.astype(np.float64), length, axis=0)[: self.k]
            for x in (scales, zeros)
        ]
        return (w.astype(np.float64) - wide[1]) * wide[0]

    def model(self, rank: int, **attributes: Any) -> bytes:
        w, scales, zeros, bias = self.arrays()
        more = {"axis": 0 if self.is_turned else 1}
        if isinstance(self.scales, int):
            more = {"axis": 1 - more["axis"], "block_size": self.scales}
            if self.is_turned:
                scales, zeros = scales.T, zeros.T
        else:
            scales, zeros = (
                x.reshape(-1)[0] if self.scales == "one" else x[0]
                for x in (scales, zeros)
            )
        constants = {"w": w.T if self.is_turned else w, "s": scales}
        names = ["w", "s"]
        if self.has_zeros:
            constants["z"] = zeros
            names.append("z")
        nodes = [helper.make_node("DequantizeLinear", names, ["f"], **more)]
        if self.stored == "transpose":
            nodes.append(helper.make_node("Transpose", ["f"], ["t"], perm=[1, 0]))
        last = "t" if self.stored == "transpose" else "f"
        if self.stored == "gemm" or self.has_bias:
            operands = ["x", last, *(["b"] if self.has_bias else [])]
            constants["b"] = bias
            turn = {"transB": int(self.stored == "gemm")}
            nodes.append(
                helper.make_node("Gemm", operands, ["y"], **turn, **attributes)
            )
        else:
            nodes.append(helper.make_node("MatMul", ["x", last], ["y"]))
        shape = [f"d{i}" for i in range(rank - 1)] + [self.k]
        graph = helper.make_graph(
            nodes,
            "weights",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.ascontiguousarray(x), name)
                for name, x in constants.items()
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
        )
        return model.SerializeToString()


def operators(model: trimtab.Model, x: Any) -> set[str]:
    return {node.op_type for node in model.profile(x, repeat=1).nodes}


def check(w: Weights, x: Any, *, is_fused: bool = True, **attributes: Any) -> None:
    model = trimtab.load_model(w.model(x.ndim, **attributes), fallback=False)
    real = w.real() * attributes.get("alpha", 1.0)
    expected = x.astype(np.float64) @ real
    if w.has_bias:
        expected += w.arrays()[3] * attributes.get("beta", 1.0)
    size = np.abs(x.astype(np.float64)) @ np.abs(real) + 1.0
    assert (np.abs(model(x) - expected) <= 2e-6 * size).all()
    if x.size:
        found = "WeightOnlyMatMul" in operators(model, x)
        assert found == is_fused


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Weights,
        st.sampled_from(["int8", "uint8", "int4", "uint4"]),
        st.sampled_from(["one", "columns", 8, 32, 48, 128, 512]),
        st.booleans(),
        st.sampled_from(["plain", "transpose", "gemm"]),
        st.booleans(),
        st.integers(250, 270),
        st.integers(264, 280),
        st.integers(0, 99),
    ),
    st.integers(1, 9),
)
def test_any_weights_equal_the_definition(w: Weights, m: int) -> None:
    x = np.random.default_rng(m).standard_normal((m, w.k)).astype(np.float32)
    check(w, x)


@pytest.mark.parametrize("shape", [(K,), (2, 3, K), (0, K), (2, 0, K)])
def test_any_rank_and_none(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    check(Weights(), x)


@pytest.mark.parametrize(
    ("w", "attributes"),
    [
        (Weights(k=16), {}),  # small ones are floats, which nothing is faster than
        (Weights(stored="gemm"), {"alpha": 0.5}),
        (Weights(stored="gemm", has_bias=True), {"beta": 0.5}),
        (Weights(scales=12), {}),
    ],
)
def test_others_are_floats_as_they_were(w: Weights, attributes: Any) -> None:
    x = np.random.default_rng(1).standard_normal((3, w.k)).astype(np.float32)
    check(w, x, is_fused=False, **attributes)


@pytest.mark.parametrize(("dtype", "n_bytes"), [("int8", 1.0), ("int4", 0.5)])
def test_from_a_file_nothing_but_packed_weights_are_in_memory(
    dtype: str, n_bytes: float, tmp_path: Path
) -> None:
    w = Weights(dtype, k=1024, n=1024)
    (tmp_path / "m.onnx").write_bytes(w.model(2))
    model = trimtab.load_model(tmp_path / "m.onnx", fallback=False)
    report = model.memory_report(np.zeros((1, w.k), np.float32))
    assert report.total_bytes < 1.1 * n_bytes * w.k * w.n + 200_000
