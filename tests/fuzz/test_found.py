"""What the fuzzer found, as small as it gets."""

import gc

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab


def load(nodes, inputs, constants=(), opset=17):
    """A model of nodes whose last one makes the output y."""
    graph = helper.make_graph(
        nodes,
        "found",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(x, name) for name, x in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return trimtab.load_model(model.SerializeToString(), threads=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int64])
def test_a_nested_concatenation_may_be_transposed_into_an_output(dtype):
    """The inner one was written in the order of the outer one, not of the output."""
    x = np.arange(12, dtype=dtype).reshape(2, 2, 3)
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    model = load(
        [
            helper.make_node("Concat", ["a", "b"], ["c"], axis=-1),
            helper.make_node("Concat", ["c"], ["d"], axis=1),
            helper.make_node("Transpose", ["d"], ["y"], perm=[2, 1, 0]),
        ],
        [("a", code, x.shape), ("b", code, x.shape)],
    )
    y = model.run({"a": x, "b": x + 20})["y"]
    want = np.concatenate([x, x + 20], -1).transpose(2, 1, 0)
    np.testing.assert_array_equal(y, want)


def test_gather_of_nothing_writes_nothing():
    """It wrote rows of an empty tensor in another order past the end of its output."""
    model = load(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Transpose", ["c"], ["t"], perm=[1, 0, 2, 3]),
            helper.make_node("Gather", ["c", "i"], ["g"], axis=3),
            helper.make_node("Shape", ["t"], ["s"]),
            helper.make_node("Shape", ["g"], ["u"]),
            helper.make_node("Concat", ["s", "u"], ["v"], axis=0),
            helper.make_node("ReduceSum", ["g"], ["n"], keepdims=0),
            helper.make_node("ReduceSum", ["t"], ["m"], keepdims=0),
            helper.make_node("Sum", ["n", "m"], ["y"]),
        ],
        [
            ("x", TensorProto.FLOAT, (0, 2, 4, 3)),
            ("w", TensorProto.FLOAT, (4, 2, 3, 3)),
        ],
        {"i": np.zeros((16, 2), np.int64)},
    )
    for _ in range(20):  # a damaged heap shows later
        y = model.run(
            {"x": np.zeros((0, 2, 4, 3), np.float32), "w": np.ones((4, 2, 3, 3), "f4")}
        )["y"]
        assert y == 0
        gc.collect()


def test_a_column_of_a_convolution_can_be_multiplied():
    """oneDNN took the stride of a dim of 1 for that of a row."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((2, 12, 2), (4, 3, 3)))
    model = load(
        [
            helper.make_node(
                "Conv", ["x", "w"], ["c"], group=4, pads=[1, 1], strides=[2]
            ),
            helper.make_node("MatMul", ["c", "v"], ["y"]),
        ],
        [("w", TensorProto.FLOAT, (4, 3, 3)), ("v", TensorProto.FLOAT, (1,))],
        {"x": x},
    )
    y = model.run({"w": w, "v": np.float32([2])})["y"]
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1)])[:, :, :3].reshape(2, 4, 3, 3)
    np.testing.assert_allclose(y, 2 * (padded * w).sum((2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax"])
def test_a_softmax_of_nothing_that_was_expanded_is_nothing(op_type):
    """An expanded dim has no steps in memory, which were divided by."""
    model = load(
        [
            helper.make_node("Expand", ["x", "shape"], ["e"]),
            helper.make_node(op_type, ["e"], ["y"], axis=0),
        ],
        [("x", TensorProto.FLOAT, (0,))],
        {"shape": np.array([2, 0])},
    )
    assert model.run({"x": np.zeros(0, np.float32)})["y"].shape == (2, 0)
