"""A build is sound: loads a model, runs it, agrees with NumPy. Needs numpy and onnx."""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

import trimtab


def main() -> None:
    """Run one matmul and one convolution through the installed package."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((256, 256)).astype(np.float32)
    graph = oh.make_graph(
        [oh.make_node("MatMul", ["x", "w"], ["h"]), oh.make_node("Relu", ["h"], ["y"])],
        "smoke",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weights, "w")],
    )
    content = oh.make_model(
        graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    x = rng.standard_normal((512, 256)).astype(np.float32)
    expected = np.maximum(x.astype(np.float64) @ weights, 0)
    for threads in (1, 2):
        model = trimtab.load_model(content, threads=threads, fallback=False)
        np.testing.assert_allclose(model(x), expected, atol=1e-3)
    print(model, "agrees with NumPy")


if __name__ == "__main__":
    main()
