"""MatMulInteger and ConvInteger: exact, whatever the instruction set."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from tests.ops.check import check_node, one_node_model, run_with_isa

import trimtab

ISAS = ["scalar", "avx2", "AVX512_CORE", "avx512"]


def truth(a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    """The definition in int64; zero points of rows and columns."""
    a, b = a.astype(np.int64), b.astype(np.int64)
    if a_zero is not None:
        rows = a_zero.ndim == 1 and a_zero.size > 1
        a = a - (a_zero[:, None] if rows else a_zero).astype(np.int64)
    if b_zero is not None:
        b = b - b_zero.astype(np.int64)
    return (a @ b).astype(np.int32)


def check(a: Any, b: Any, *zeros: Any, constants: Any = ()) -> None:
    inputs = [a, b, *zeros]
    check_node(
        "MatMulInteger",
        inputs,
        opset=13,
        constants=constants,
        expected=[truth(*inputs)],
        tolerance=0.0,
    )


def integers(rng: Any, dtype: Any, *shape: int) -> Any:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 75),
    st.integers(1, 140),
    st.sampled_from([np.uint8, np.int8]),
    st.sampled_from([np.uint8, np.int8]),
    st.sampled_from(["none", "one", "many"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_sums_are_exact(
    m: int, k: int, n: int, a: Any, b: Any, kind: str, is_constant: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    zeros: list[Any] = []
    if kind == "one":
        zeros = [integers(rng, a), integers(rng, b)]
        zeros = [np.array(z, t) for z, t in zip(zeros, (a, b), strict=True)]
    if kind == "many":
        zeros = [integers(rng, a, m), integers(rng, b, n)]
    x, y = integers(rng, a, m, k), integers(rng, b, k, n)
    check(x, y, *zeros, constants=[1] if is_constant else [])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 5, 7), (7, 9)),
        ((2, 1, 5, 7), (3, 7, 9)),
        ((5, 7), (4, 7, 9)),
        ((7,), (7, 9)),
        ((5, 7), (7,)),
        ((3, 0, 7), (7, 9)),
    ],
)
@pytest.mark.parametrize("constants", [(), (1,)])
def test_batches_are_those_of_numpy(a: Any, b: Any, constants: Any) -> None:
    rng = np.random.default_rng(3)
    x, y = integers(rng, np.uint8, *a), integers(rng, np.int8, *b)
    zeros = [np.array(77, np.uint8), np.array(-3, np.int8)]
    check(x, y, *zeros, constants=constants)


def test_zero_points_of_the_rows_of_each_matrix() -> None:
    rng = np.random.default_rng(4)
    x, y = integers(rng, np.int8, 2, 3, 5), integers(rng, np.uint8, 2, 5, 4)
    a_zero, b_zero = integers(rng, np.int8, 2, 3, 1), integers(rng, np.uint8, 2, 1, 4)
    expected = (x.astype(int) - a_zero) @ (y.astype(int) - b_zero)
    check_node(
        "MatMulInteger",
        [x, y, a_zero, b_zero],
        opset=13,
        expected=[expected.astype(np.int32)],
        tolerance=0.0,
    )


def test_wrong_types_and_zero_points_are_refused() -> None:
    u8, s8 = np.zeros((3, 4), np.uint8), np.zeros((4, 5), np.int8)
    for inputs in (
        [u8, s8, np.zeros(2, np.uint8)],
        [u8, s8, np.zeros((), np.int8)],
        [u8, s8, np.zeros((), np.uint8), np.zeros(4, np.int8)],
        [u8, np.zeros((3, 5), np.int8)],
    ):
        model = one_node_model("MatMulInteger", inputs, opset=13).SerializeToString()
        with pytest.raises(trimtab.TrimtabError, match="node"):
            trimtab.load_model(model, fallback=False).run(
                {f"x{i}": x for i, x in enumerate(inputs)}
            )


def extremes() -> None:
    """Where vpmaddubsw saturates: all bytes at their ends; prints nothing."""
    for a_value in (0, 255):
        for b_value in (-128, 127):
            a = np.full((7, 515), a_value, np.uint8)
            b = np.full((515, 130), b_value, np.int8)
            check(a, b, constants=[1])
    rng = np.random.default_rng(9)
    for m, k, n in ((1, 64, 64), (5, 130, 65), (13, 37, 257)):
        a, b = integers(rng, np.uint8, m, k), integers(rng, np.int8, k, n)
        check(a, b, integers(rng, np.uint8, m), integers(rng, np.int8, n))


@pytest.mark.parametrize("isa", ISAS)
def test_nothing_saturates_on_any_isa(isa: str) -> None:
    code = "from tests.ops.test_matmul_integer import extremes; extremes()"
    assert run_with_isa(isa, code) == ""


# ---- ConvInteger ------


def conv_truth(x: Any, w: Any, x_zero: Any, w_zero: Any, attributes: Any) -> Any:
    """torch in float64, exact below 2^53."""
    torch = pytest.importorskip("torch", reason="the oracle: pip install torch")
    F = torch.nn.functional

    rank = x.ndim - 2
    shape = [-1] + [1] * (rank + 1)
    real_x = x.astype(np.float64) - (0 if x_zero is None else x_zero)
    zeros = np.zeros(1) if w_zero is None else np.asarray(w_zero, np.float64)
    real_w = w.astype(np.float64) - zeros.reshape(shape)
    pads = attributes.get("pads", [0] * 2 * rank)
    widths = [side for i in reversed(range(rank)) for side in (pads[i], pads[rank + i])]
    padded = F.pad(torch.from_numpy(real_x), widths)
    conv = [F.conv1d, F.conv2d, F.conv3d][rank - 1]
    y = conv(
        padded,
        torch.from_numpy(real_w),
        stride=attributes.get("strides", 1),
        dilation=attributes.get("dilations", 1),
        groups=attributes.get("group", 1),
    )
    return y.numpy().astype(np.int32)


CONVS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": ((2, 5, 9, 8), (7, 5, 3, 3), {}),
    "padded": (
        (1, 16, 13, 11),
        (70, 16, 3, 2),
        {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]},
    ),
    "pointwise": ((2, 33, 40, 40), (20, 33, 1, 1), {}),
    "groups": ((1, 6, 9, 8), (8, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ((1, 6, 9, 8), (6, 1, 3, 3), {"group": 6}),
    "line": ((2, 4, 30), (5, 4, 5), {"strides": [3]}),
    "volume": ((1, 3, 5, 6, 7), (4, 3, 2, 3, 2), {"pads": [1, 0, 0, 0, 1, 1]}),
}


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("dtypes", [(np.uint8, np.int8), (np.int8, np.uint8)])
@pytest.mark.parametrize("zeros", ["none", "one", "many"])
@pytest.mark.parametrize("constants", [(), (1,)])
def test_convolutions_are_exact(
    case: str, dtypes: Any, zeros: str, constants: Any
) -> None:
    rng = np.random.default_rng(11)
    shape, kernel, attributes = CONVS[case]
    x, w = integers(rng, dtypes[0], *shape), integers(rng, dtypes[1], *kernel)
    x_zero: Any = None
    w_zero: Any = None
    if zeros != "none":
        x_zero = np.array(integers(rng, dtypes[0]), dtypes[0])
        n = () if zeros == "one" else kernel[:1]
        w_zero = np.array(integers(rng, dtypes[1], *n), dtypes[1])
    inputs = [x, w] if zeros == "none" else [x, w, x_zero, w_zero]
    check_node(
        "ConvInteger",
        inputs,
        attributes,
        opset=13,
        constants=constants,
        expected=[conv_truth(x, w, x_zero, w_zero, attributes)],
        tolerance=0.0,
    )
