"""QuantizeLinear and DequantizeLinear between floats and 8-bit floats, types below a
byte: against onnx.reference, to the bit where both compute in float32."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import trimtab

SMALL = {
    "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    "FLOAT8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "FLOAT6E2M3": ml_dtypes.float6_e2m3fn,
    "FLOAT6E3M2": ml_dtypes.float6_e3m2fn,
    "FLOAT4E2M1": ml_dtypes.float4_e2m1fn,
    "UINT4": ml_dtypes.uint4,
    "INT4": ml_dtypes.int4,
    "UINT2": ml_dtypes.uint2,
    "INT2": ml_dtypes.int2,
}
BITS = {"UINT2": 2, "INT2": 2} | dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4)
BITS |= {"FLOAT6E2M3": 6, "FLOAT6E3M2": 6}
GRANULARITIES = ["tensor", "first", "last", "block", "block_outer"]
SHAPE = (6, 5, 12)


def model_of(op_type, arrays, output, *, opset=28, **attributes):
    names = ["x", "scale", "zero"][: len(arrays)]
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape
        )
        for name, a in zip(names, arrays, strict=True)
    ]
    out = helper.make_tensor_value_info("y", output, None)
    node = helper.make_node(op_type, names, ["y"], **attributes)
    graph = helper.make_graph([node], "g", inputs, [out])
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=13), names


def both(op_type, arrays, output, *, opset=28, **attributes):
    """What we give, and what the reference gives."""
    model, names = model_of(op_type, arrays, output, opset=opset, **attributes)
    feeds = dict(zip(names, arrays, strict=True))
    got = trimtab.load_model(model.SerializeToString(), fallback=False).run(feeds)["y"]
    with np.errstate(all="ignore"):
        want = ReferenceEvaluator(model).run(None, feeds)[0]
    return got, want


def scales_of(granularity, rng, dtype=np.float32):
    """Scales for SHAPE, and the attributes that go with them."""
    shape, attributes = {
        "tensor": ((), {}),
        "first": ((6,), {"axis": 0}),
        "last": ((12,), {"axis": -1}),
        "block": ((6, 5, 3), {"axis": 2, "block_size": 4}),
        "block_outer": ((6, 3, 12), {"axis": 1, "block_size": 2}),
    }[granularity]
    scales = np.asarray(rng.uniform(0.05, 2, shape), np.float32).astype(dtype)
    return scales, attributes


def zeros_of(name, shape, rng):
    """Zero points: of integers any, of 8-bit floats what the reference takes."""
    codes = rng.integers(0, 1 << BITS.get(name, 8), shape).astype(np.uint8)
    if "INT" not in name:
        codes = np.zeros(shape, np.uint8)
    return np.asarray(codes).view(SMALL[name])


def same_bits(got, want):
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("has_zeros", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_quantised_as_the_reference_has_it(name, has_zeros, granularity):
    rng = np.random.default_rng(len(name))
    x = (rng.standard_normal(SHAPE) * 8).astype(np.float32)
    x.reshape(-1)[:6] = [0, -0.0, np.inf, -np.inf, 1e30, -1e30]
    scales, attributes = scales_of(granularity, rng)
    arrays = [x, scales]
    if has_zeros:
        arrays.append(zeros_of(name, scales.shape, rng))
    else:
        attributes["output_dtype"] = getattr(TensorProto, name)
    got, want = both("QuantizeLinear", arrays, getattr(TensorProto, name), **attributes)
    if "INT" in name:  # the reference leaves infinities to the processor
        finite = np.abs(x) < 1e9
        got, want = got[finite], want[finite]
    if name == "FLOAT4E2M1" or name.startswith("FLOAT6"):  # -0 + 0 is 0 there
        got, want = got.astype(np.float32), want.astype(np.float32)
        np.testing.assert_array_equal(got, want)
    else:
        same_bits(got, want)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("has_zeros", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_dequantised_as_the_reference_has_it(name, has_zeros, granularity):
    rng = np.random.default_rng(len(name))
    codes = np.resize(np.arange(1 << BITS.get(name, 8)), SHAPE).astype(np.uint8)
    scales, attributes = scales_of(granularity, rng)
    arrays = [codes.view(SMALL[name]), scales]
    if has_zeros:
        arrays.append(zeros_of(name, scales.shape, rng))
    got, want = both("DequantizeLinear", arrays, TensorProto.FLOAT, **attributes)
    assert got.dtype == want.dtype == np.float32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("real", ["FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("name", ["FLOAT8E4M3FN", "INT4", "FLOAT4E2M1", "UINT2"])
def test_16_bit_floats_are_quantised_by_way_of_float32(name, real):
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, real))
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(SHAPE) * 4).astype(np.float32).astype(dtype)
    scales, attributes = scales_of("first", rng, dtype)
    wide = [x.astype(np.float32), scales.astype(np.float32)]
    code = getattr(TensorProto, name)
    attributes["output_dtype"] = code
    got, _ = both("QuantizeLinear", [x, scales], code, **attributes)
    _, want = both("QuantizeLinear", wide, code, **attributes)
    same_bits(got, want)
    del attributes["output_dtype"]
    back, _ = both(
        "DequantizeLinear", [got, scales], getattr(TensorProto, real), **attributes
    )
    _, want = both("DequantizeLinear", [got, wide[1]], TensorProto.FLOAT, **attributes)
    np.testing.assert_array_equal(
        back.astype(np.float64), want.astype(dtype).astype(np.float64)
    )


@pytest.mark.parametrize("precision", ["FLOAT16", "BFLOAT16", "FLOAT"])
@pytest.mark.parametrize("name", ["FLOAT8E5M2", "INT4", "UINT8", "INT16"])
def test_quotients_have_the_precision_asked_for(name, precision):
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(SHAPE) * 4).astype(np.float32)
    scales, attributes = scales_of("block", rng)
    code = getattr(TensorProto, name)
    attributes |= {"output_dtype": code, "precision": getattr(TensorProto, precision)}
    got, want = both("QuantizeLinear", [x, scales], code, **attributes)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))


def test_a_constant_scalar_scale_has_that_precision_too():
    x = np.linspace(-40, 40, 1001, dtype=np.float32)
    scale = np.float32(0.3)
    node = helper.make_node(
        "QuantizeLinear",
        ["x", "s"],
        ["y"],
        output_dtype=TensorProto.INT8,
        precision=TensorProto.BFLOAT16,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1001])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [1001])],
        [onnx.numpy_helper.from_array(np.asarray(scale), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 11
    got = trimtab.load_model(model.SerializeToString(), fallback=False)(x)
    want = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["FLOAT8E4M3FN", "FLOAT4E2M1", "INT4", "INT8"])
def test_scales_may_be_powers_of_two(name):
    rng = np.random.default_rng(6)
    x = (rng.standard_normal(SHAPE) * 4).astype(np.float32)
    scales = rng.uniform(0.1, 3, (6, 5, 3)).astype(ml_dtypes.float8_e8m0fnu)
    code = getattr(TensorProto, name)
    attributes = {"axis": 2, "block_size": 4}
    wide = [x, scales.astype(np.float32)]
    got, _ = both("QuantizeLinear", wide, code, output_dtype=code, **attributes)
    model, names = model_of(
        "QuantizeLinear", [x, scales], code, output_dtype=code, **attributes
    )
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    found = loaded.run(dict(zip(names, [x, scales], strict=True)))["y"]
    same_bits(found, got)
    back, want = both(
        "DequantizeLinear",
        [got, scales],
        TensorProto.FLOAT,
        output_dtype=TensorProto.FLOAT,
        **attributes,
    )
    np.testing.assert_array_equal(back, want)


@pytest.mark.parametrize("name", ["FLOAT8E4M3FN", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"])
def test_what_is_too_large_is_no_number_without_saturation(name):
    x = np.array([1e6, -1e6, np.inf, np.nan, 3], np.float32)
    code = getattr(TensorProto, name)
    for saturate in (0, 1):
        got, want = both(
            "QuantizeLinear",
            [x, np.float32(2).reshape(())],
            code,
            output_dtype=code,
            saturate=saturate,
        )
        same_bits(got, want)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(SMALL)),
    st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.data(),
)
def test_any_shape_axis_and_block(name, dims, data):
    axis = data.draw(st.integers(0, len(dims) - 1))
    block = data.draw(st.integers(0, 6))
    rng = np.random.default_rng(sum(dims) + block)
    x = (rng.standard_normal(dims) * 3).astype(np.float32)
    attributes = {"axis": axis, "output_dtype": getattr(TensorProto, name)}
    shape = (dims[axis],)
    if block:
        shape = (*dims[:axis], -(-dims[axis] // block), *dims[axis + 1 :])
        attributes["block_size"] = block
    scales = rng.uniform(0.3, 2, shape).astype(np.float32)
    each = np.repeat(scales, block, axis) if block else scales
    if block:
        each = each[tuple(slice(0, d) for d in dims)]
    else:
        each = each.reshape([-1 if i == axis else 1 for i in range(len(dims))])
    model, names = model_of(
        "QuantizeLinear", [x, scales], attributes["output_dtype"], **attributes
    )
    loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
    got = loaded.run(dict(zip(names, [x, scales], strict=True)))["y"]
    quotient = x / each
    if "INT" in name:
        info = ml_dtypes.iinfo(SMALL[name])
        quotient = np.clip(np.rint(quotient), info.min, info.max)
    elif name.startswith("FLOAT8"):
        top = np.float32(ml_dtypes.finfo(SMALL[name]).max)
        quotient = np.clip(quotient, -top, top)
    same_bits(got, quotient.astype(SMALL[name]))


def test_a_strided_input_keeps_its_scales():
    rng = np.random.default_rng(7)
    x = (rng.standard_normal((8, 6)) * 3).astype(np.float32).T
    scales = rng.uniform(0.3, 2, 8).astype(np.float32)
    code = TensorProto.FLOAT8E4M3FN
    got, want = both("QuantizeLinear", [x, scales], code, axis=1, output_dtype=code)
    same_bits(got, want)


def test_a_precision_that_is_no_float_is_refused():
    arrays = [np.ones(3, np.float32), np.ones((), np.float32)]
    with pytest.raises(trimtab.TrimtabError, match="precision"):
        both("QuantizeLinear", arrays, TensorProto.UINT8, precision=TensorProto.INT8)


def test_float8e8m0_is_a_type_of_scales_alone():
    arrays = [np.ones(3, np.float32), np.ones((), np.float32)]
    code = TensorProto.FLOAT8E8M0
    with pytest.raises(trimtab.TrimtabError, match="float8e8m0"):
        both("QuantizeLinear", arrays, code, output_dtype=code)
