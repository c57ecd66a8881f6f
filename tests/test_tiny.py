"""The product in one screen."""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

import trimtab


def linear_model(rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """``softmax(relu(x W))`` with x of shape (n, 4)."""
    weights = rng.standard_normal((4, 3)).astype(np.float32)
    graph = oh.make_graph(
        [
            oh.make_node("MatMul", ["x", "w"], ["h"], name="linear"),
            oh.make_node("Relu", ["h"], ["a"], name="relu"),
            oh.make_node("Softmax", ["a"], ["y"], axis=-1, name="softmax"),
        ],
        "tiny",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)])
    return model.SerializeToString(), weights


def test_load_predict_tap_bind_and_deploy() -> None:
    rng = np.random.default_rng(0)
    content, weights = linear_model(rng)
    x = rng.standard_normal((5, 4)).astype(np.float32)
    hidden = np.maximum(x.astype(np.float64) @ weights, 0)
    expected = np.exp(hidden) / np.exp(hidden).sum(1, keepdims=True)

    model = trimtab.load_model(content, fallback=False)
    assert [spec.name for spec in model.inputs] == ["x"]
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    np.testing.assert_allclose(model.run({"x": x})["y"], expected, atol=1e-6)
    np.testing.assert_allclose(model.taps.run(x, ["a"])["a"], hidden, atol=1e-5)

    out = np.empty((5, 3), np.float32)
    model.bind({"x": x}, {"y": out}).run()
    np.testing.assert_allclose(out, expected, atol=1e-6)

    deployment = trimtab.deploy_model(
        model, preprocess_input=np.atleast_2d, postprocess_output=np.argmax
    )
    assert deployment(x[0]) == expected[0].argmax()
