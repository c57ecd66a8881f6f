"""Types of 8 bits and less: their names, all their elements, models of them."""

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

FLOATS = {
    "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    "FLOAT8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "FLOAT6E2M3": ml_dtypes.float6_e2m3fn,
    "FLOAT6E3M2": ml_dtypes.float6_e3m2fn,
    "FLOAT4E2M1": ml_dtypes.float4_e2m1fn,
}
INTS = {
    "UINT4": ml_dtypes.uint4,
    "INT4": ml_dtypes.int4,
    "UINT2": ml_dtypes.uint2,
    "INT2": ml_dtypes.int2,
}
POWERS = {"FLOAT8E8M0": ml_dtypes.float8_e8m0fnu}
SMALL = FLOATS | INTS | POWERS
BITS = {"UINT2": 2, "INT2": 2} | dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4)
BITS |= {"FLOAT6E2M3": 6, "FLOAT6E3M2": 6}


def model_of(nodes, inputs, outputs, *, opset=25, initializers=()):
    """inputs, outputs: name -> (type, dims)."""

    def values(described):
        return [
            helper.make_tensor_value_info(n, getattr(TensorProto, t), d)
            for n, (t, d) in described.items()
        ]

    graph = helper.make_graph(
        nodes, "g", values(inputs), values(outputs), list(initializers)
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=13)


def codes_of(name):
    return np.arange(1 << BITS.get(name, 8)).astype(np.uint8).view(SMALL[name])


def same_bits(got, want):
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))
