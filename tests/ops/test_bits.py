"""BitCast, BitShift of signed numbers and Mod of floats: the opsets from 26 on."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto
from tests.ops.check import check_node

import trimtab

SIGNED = [np.int8, np.int16, np.int32, np.int64]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]

BY_SIZE = [
    ("uint8", "int8"),
    ("uint16", "int16", "float16", "bfloat16"),
    ("uint32", "int32", "float32"),
    ("uint64", "int64", "float64"),
]
CODES = {
    "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
    "float32": 1,
}  # fmt: skip


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@pytest.mark.parametrize(
    ("src", "dst"), [(a, b) for names in BY_SIZE for a in names for b in names]
)
def test_bit_cast_keeps_every_bit(rng, src, dst):
    n = dtype_of(src).itemsize
    x = rng.integers(0, 256, (3, 4, 5 * n), np.uint8).view(dtype_of(src))
    want = x.view(dtype_of(dst))
    for constants in (), (0,):
        got = check_bits(x, CODES[dst], constants)
        assert got.dtype == want.dtype
        assert got.tobytes() == want.tobytes()


def check_bits(x, code, constants):
    from tests.ops.check import feeds_of, one_node_model

    model = one_node_model("BitCast", [x], {"to": code}, 26, constants=constants)
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    (got,) = loaded.run(feeds_of([x], constants)).values()
    return np.asarray(got)


def test_bit_cast_of_a_transposed_array(rng):
    x = rng.standard_normal((4, 6)).astype(np.float32).T
    got = check_bits(x, TensorProto.INT32, ())
    np.testing.assert_array_equal(got, np.ascontiguousarray(x).view(np.int32))


def test_bit_cast_within_a_graph(rng):
    """abs(x) by clearing the sign."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("BitCast", ["x"], ["bits"], to=TensorProto.UINT32),
        helper.make_node("BitwiseAnd", ["bits", "mask"], ["kept"]),
        helper.make_node("BitCast", ["kept"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Sqrt", ["y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n"])],
        [helper.make_tensor_value_info("z", 1, ["n"])],
        [numpy_helper.from_array(np.array(0x7FFFFFFF, np.uint32), "mask")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)])
    x = rng.standard_normal(1000).astype(np.float32)
    got = trimtab.load_model(model.SerializeToString(), fallback=False)(x)
    np.testing.assert_allclose(got, np.sqrt(np.abs(x)), rtol=1e-6)


@pytest.mark.parametrize(
    ("to", "text"),
    [
        (TensorProto.DOUBLE, "same number of bits"),
        (TensorProto.STRING, "same number of bits"),
        (0, "not 0"),
        (99, "not 99"),
    ],
)
def test_bit_cast_to_another_size_is_refused(to, text):
    with pytest.raises(trimtab.TrimtabError, match=text):
        check_bits(np.ones(4, np.float32), to, ())


def shifted(x, count, direction):
    """By Python's integers, which have no width."""
    bits = x.dtype.itemsize * 8
    inside = 0 <= count < bits
    if direction == "RIGHT":
        return int(x) >> int(count) if inside else (-1 if x < 0 else 0)
    value = (int(x) << int(count)) % 2**bits if inside else 0
    is_signed = np.issubdtype(x.dtype, np.signedinteger)
    return value - 2**bits if is_signed and value >= 2 ** (bits - 1) else value


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@settings(deadline=None, max_examples=40)
@given(dtype=st.sampled_from(SIGNED + UNSIGNED), data=st.data())
def test_shifts(direction, dtype, data):
    limits = np.iinfo(dtype)
    counts = st.one_of(
        st.integers(max(limits.min, -70), min(limits.max, 70)),
        st.integers(limits.min, limits.max),
    )
    x = data.draw(hnp.arrays(dtype, 37))
    y = data.draw(hnp.arrays(dtype, 37, elements=counts))
    want = [shifted(a, b, direction) for a, b in zip(x, y, strict=True)]
    check_node(
        "BitShift",
        [x, y],
        {"direction": direction},
        28,
        expected=[np.array(want, dtype)],
    )


@pytest.mark.parametrize("dtype", SIGNED)
def test_shifts_of_signed_numbers_are_of_opset_28(dtype):
    x = np.ones(3, dtype)
    with pytest.raises(trimtab.TrimtabError, match="unsigned"):
        check_node("BitShift", [x, x], {"direction": "LEFT"}, 27, expected=[x])


SPECIAL = [0.0, -0.0, 1.5, -1.5, 4.0, -4.0, np.inf, -np.inf, np.nan, 1e-40, 3e38]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mod_of_floats_has_the_sign_of_the_divisor(rng, dtype):
    with np.errstate(all="ignore"):
        values = np.array(SPECIAL + list(rng.standard_normal(20) * 5)).astype(dtype)
        x, y = (v.ravel() for v in np.meshgrid(values, values))
        # half precision: computed in float32, rounded once
        wide = np.float32 if dtype == np.float16 else dtype
        want = np.mod(x.astype(wide), y.astype(wide)).astype(dtype)
    (got,) = check_node("Mod", [x, y], {"fmod": 0}, 28, expected=[want])
    is_number = ~np.isnan(want)
    np.testing.assert_array_equal(
        np.signbit(got[is_number]), np.signbit(want[is_number])
    )
    np.testing.assert_array_equal(got, want)


def test_mod_of_floats_is_of_opset_28():
    x = np.ones(3, np.float32)
    with pytest.raises(trimtab.TrimtabError, match=r"must be 1 .* before opset 28"):
        check_node("Mod", [x, x], {"fmod": 0}, 27, expected=[x])


@pytest.mark.parametrize("dtype", SIGNED)
def test_mod_of_integers_by_zero_is_zero_still(dtype):
    x = np.array([5, -5, np.iinfo(dtype).min], dtype)
    y = np.array([0, 0, -1], dtype)
    check_node("Mod", [x, y], {"fmod": 0}, 28, expected=[np.zeros(3, dtype)])
