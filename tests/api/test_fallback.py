"""Operators that the engine lacks."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import trimtab
from trimtab.fallback import FallbackWarning, describe_support

from .conftest import serialize


def test_unknown_operators_run_in_python_with_one_warning(rare: bytes) -> None:
    with pytest.warns(FallbackWarning, match="Det 'determinant'") as caught:
        model = trimtab.load_model(rare)
    assert len(caught) == 1
    rng = np.random.default_rng(0)
    for n in (1, 3, 3):
        x = rng.standard_normal((n, 4, 4)).astype(np.float32)
        np.testing.assert_allclose(model(x), 2 * np.linalg.det(x), rtol=1e-4)
    assert model.stats["n_fallbacks"] >= 3


def test_without_fallback_all_nodes_are_listed(rare: bytes) -> None:
    with pytest.raises(trimtab.UnsupportedOpError) as error:
        trimtab.load_model(rare, fallback=False)
    (node,) = error.value.nodes
    assert (node.name, node.op_type, node.opset) == ("determinant", "Det", 17)
    assert node.dtype == "float32"
    assert "'determinant'" in str(error.value)
    assert "opset 17" in str(error.value)
    assert error.value.code == "UNSUPPORTED"
    assert isinstance(error.value, NotImplementedError)


def test_operators_that_nobody_has_are_refused_at_loading() -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], name="first", domain="example"),
        helper.make_node("Enigma", ["a"], ["y"], name="second", domain="example"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n",))],
        [helper.make_empty_tensor_value_info("y")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example", 1)]
    content = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    with pytest.raises(trimtab.UnsupportedOpError) as error:
        trimtab.load_model(content)
    assert [node.name for node in error.value.nodes] == ["first", "second"]
    assert "example.Mystery" in str(error.value)


def test_attributes_reach_the_fallback() -> None:
    content = serialize(
        [
            helper.make_node(
                "MelWeightMatrix",
                ["bins", "length", "rate", "low", "high"],
                ["m"],
                name="mel",
                output_datatype=TensorProto.FLOAT,
            ),
            helper.make_node("Mul", ["m", "x"], ["y"], name="scale"),
        ],
        [("x", TensorProto.FLOAT, ())],
        ["y"],
        {
            "bins": np.array(8, np.int64),
            "length": np.array(64, np.int64),
            "rate": np.array(8000, np.int64),
            "low": np.array(0, np.float32),
            "high": np.array(4000, np.float32),
        },
    )
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        model = trimtab.load_model(content)
    x = np.array(2, np.float32)
    expected = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"x": x})
    np.testing.assert_allclose(model(x), expected[0])


def test_support_says_who_runs_what(rare: bytes) -> None:
    support = describe_support(rare)
    runs = {use.op_type: use.runs for use in support.operators}
    assert runs == {"Det": "Python (onnx.reference)", "Add": "engine"}
    assert not support.is_complete
    assert "onnx.reference" in repr(support)
