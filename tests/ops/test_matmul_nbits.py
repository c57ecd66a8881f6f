"""MatMulNBits: weights of 4 and 8 bits in blocks, against NumPy and onnxruntime."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from tests.ops.check import one_node_model, run_with_isa

import trimtab

ISAS = ["scalar", "avx2", "AVX512_CORE", "avx512"]


class Weights:
    """Random integers with scales and zero points, packed as the operator has them."""

    def __init__(
        self, rng: Any, k: int, n: int, bits: int, block: int, zeros: str = "none"
    ) -> None:
        self.k, self.n, self.bits, self.block = k, n, bits, block
        blocks = -(-k // block)
        self.q = rng.integers(0, 1 << bits, (n, blocks * block), np.uint8)
        self.scales = rng.uniform(0.5, 2.0, (n, blocks)).astype(np.float32) / (
            1 << bits
        )
        self.zeros: Any = None
        middle = np.full((n, blocks), 1 << (bits - 1), np.float32)
        if zeros == "integers":
            values = rng.integers(0, 1 << bits, (n, blocks), np.uint8)
            self.zeros, middle = self.packed(values), values.astype(np.float32)
        elif zeros == "floats":
            middle = rng.uniform(0, 1 << bits, (n, blocks)).astype(np.float32)
            self.zeros = middle
        wide = [
            np.repeat(a.astype(np.float64), block, 1) for a in (middle, self.scales)
        ]
        self.real = ((self.q - wide[0]) * wide[1])[:, :k].T

    def packed(self, values: Any) -> Any:
        """Two to a byte where they have 4 bits, rows filled up."""
        if self.bits == 8:
            return values
        even = values if values.shape[1] % 2 == 0 else np.pad(values, [(0, 0), (0, 1)])
        return even[:, ::2] | even[:, 1::2] << 4

    def model(self, x: Any, level: int = 0, bias: Any = None) -> bytes:
        b = self.packed(self.q).reshape(self.n, -1, self.block * self.bits // 8)
        inputs = [x, b, self.scales, self.zeros, None, bias]
        while inputs[-1] is None:
            inputs.pop()
        constants = [i for i in range(1, len(inputs)) if inputs[i] is not None]
        attributes = {
            "K": self.k,
            "N": self.n,
            "bits": self.bits,
            "block_size": self.block,
            "accuracy_level": level,
        }
        return one_node_model(
            "MatMulNBits",
            inputs,
            attributes,
            domain="com.microsoft",
            constants=constants,
        ).SerializeToString()


def run(w: Weights, x: Any, level: int = 0, bias: Any = None) -> Any:
    return trimtab.load_model(w.model(x, level, bias), fallback=False)(x)


def integers_of(x: Any, block: int) -> Any:
    """What int8 in blocks makes of x, in float64."""
    m, k = x.shape
    wide = np.pad(x.astype(np.float64), [(0, 0), (0, -k % block)]).reshape(m, -1, block)
    step = np.abs(wide).max(-1, keepdims=True) / 127
    step[step == 0] = 1
    return (np.rint(wide / step) * step).reshape(m, -1)[:, :k]


def check(w: Weights, x: Any, level: int, bias: Any = None) -> None:
    y = run(w, x, level, bias)
    seen = integers_of(x, w.block) if level == 4 else x.astype(np.float64)
    expected = seen @ w.real + (0 if bias is None else bias)
    size = np.abs(x.astype(np.float64)) @ np.abs(w.real) + 1e-30
    # float32 sums; an integer at the middle of two steps may go the other way
    tolerance = 1e-5 if level == 0 else 1e-3
    assert (np.abs(y - expected) <= tolerance * size + 1e-5).all()


SHAPES = st.tuples(st.integers(1, 19), st.integers(1, 150), st.integers(1, 40))


@settings(max_examples=80, deadline=None)
@given(
    SHAPES,
    st.sampled_from([4, 8]),
    st.sampled_from([16, 32, 64, 128, 256]),
    st.sampled_from(["none", "integers", "floats"]),
    st.sampled_from([0, 4]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_shape_equals_the_definition(
    shape: Any, bits: int, block: int, zeros: str, level: int, has_bias: bool, seed: int
) -> None:
    m, k, n = shape
    rng = np.random.default_rng(seed)
    w = Weights(rng, k, n, bits, block, zeros)
    x = rng.normal(size=(m, k)).astype(np.float32)
    check(w, x, level, rng.normal(size=n).astype(np.float32) if has_bias else None)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", ["none", "integers"])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize("m", [1, 9])
def test_it_is_what_onnxruntime_gives(
    bits: int, zeros: str, block: int, m: int
) -> None:
    rng = np.random.default_rng(3)
    w = Weights(rng, 160, 37, bits, block, zeros)
    x = rng.normal(size=(2, m, 160)).astype(np.float32)
    (expected,) = ort.InferenceSession(w.model(x)).run(None, {"x0": x})
    found = run(w, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, 1e-4, 1e-4 * np.abs(expected).max())


def test_infinity_stays_in_its_row() -> None:
    rng = np.random.default_rng(3)
    w = Weights(rng, 64, 20, 4, 32)
    x = rng.normal(size=(3, 64)).astype(np.float32)
    x[0, 5], x[2, 60] = np.nan, np.inf
    for level in (0, 4):
        y = run(w, x, level)
        np.testing.assert_array_equal(np.isfinite(y).all(1), [False, True, False])


def test_what_it_cannot_do_is_refused() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 64)).astype(np.float32)
    w = Weights(rng, 64, 20, 4, 32)
    for attribute, value in (("bits", 3), ("block_size", 24), ("K", 63), ("N", 19)):
        b = w.packed(w.q).reshape(20, 2, 16)
        attributes = {"K": 64, "N": 20, "bits": 4, "block_size": 32, attribute: value}
        model = one_node_model(
            "MatMulNBits",
            [x, b, w.scales],
            attributes,
            domain="com.microsoft",
            constants=[1, 2],
        ).SerializeToString()
        with pytest.raises(trimtab.TrimtabError, match="node"):
            trimtab.load_model(model, fallback=False)(x)


def every_kind() -> None:
    rng = np.random.default_rng(4)
    for bits in (4, 8):
        for zeros in ("none", "integers", "floats"):
            for m, k, n in ((1, 64, 33), (7, 100, 16), (17, 300, 5)):
                w = Weights(rng, k, n, bits, 32, zeros)
                x = rng.normal(size=(m, k)).astype(np.float32)
                check(w, x, 0)
                check(w, x, 4)
        w = Weights(rng, 512, 40, bits, 256)
        w.q[:] = (1 << bits) - 1
        w.real[:] = ((1 << (bits - 1)) - 1) * np.repeat(w.scales, 256, 1).T
        check(w, np.full((3, 512), -5.0, np.float32), 4)


@pytest.mark.parametrize("isa", ISAS)
def test_every_isa_agrees_with_the_definition(isa: str) -> None:
    code = "from tests.ops.test_matmul_nbits import every_kind; every_kind()"
    assert run_with_isa(isa, code) == ""
