"""All nodes that cannot be run as they are are told at once."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import trimtab


def model_of(nodes: list, n_outputs: int) -> bytes:
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 2, 2))],
        [helper.make_empty_tensor_value_info(f"y{i}") for i in range(n_outputs)],
        [scales],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return model.SerializeToString()


def resize(name: str, x: str, y: str, mode: str) -> object:
    return helper.make_node("Resize", [x, "", "scales"], [y], name=name, mode=mode)


X = np.zeros((1, 1, 2, 2), np.float32)


def test_every_node_that_is_refused_is_named() -> None:
    """Also behind another; what reads a result that there is not is passed over."""
    nodes = [
        resize("first", "x", "a", "bogus"),
        helper.make_node("Relu", ["a"], ["y0"], name="reader"),
        helper.make_node("Relu", ["x"], ["b"], name="healthy"),
        resize("second", "b", "y1", "unknown"),
    ]
    with pytest.raises(trimtab.UnsupportedOpError) as error:
        trimtab.load_model(model_of(nodes, 2)).run({"x": X})
    text = str(error.value)
    assert "2 nodes cannot be run" in text
    for words in ("'first'", "bogus", "'second'", "unknown"):
        assert words in text
    assert "reader" not in text
    assert error.value.where == "first"


def test_one_node_is_told_as_it_is() -> None:
    nodes = [resize("only", "x", "y0", "bogus")]
    with pytest.raises(trimtab.UnsupportedOpError, match="Resize 'only'") as error:
        trimtab.load_model(model_of(nodes, 1)).run({"x": X})
    assert "nodes cannot be run" not in str(error.value)


def test_more_than_a_message_holds_are_counted() -> None:
    nodes = [resize(f"node_{i}", "x", f"y{i}", "bogus") for i in range(300)]
    with pytest.raises(trimtab.UnsupportedOpError, match="300 nodes cannot be run"):
        trimtab.load_model(model_of(nodes, 300)).run({"x": X})
