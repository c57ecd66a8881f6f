"""Operators that the engine lacks."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

import trimtab
from trimtab.fallback import FallbackWarning
from trimtab.support import describe_support

from .conftest import serialize


def test_unknown_operators_run_in_python_with_one_warning(rare: bytes) -> None:
    with pytest.warns(
        FallbackWarning, match="Cast 'to_text', Cast 'to_number'"
    ) as caught:
        model = trimtab.load_model(rare)
    assert len(caught) == 1
    rng = np.random.default_rng(0)
    for n in (1, 3, 3):
        x = rng.standard_normal((n, 4, 4)).astype(np.float32)
        np.testing.assert_allclose(model(x), 2 * x, rtol=1e-6)
    assert model.stats["n_fallbacks"] >= 3


def test_without_fallback_all_nodes_are_listed(rare: bytes) -> None:
    with pytest.raises(trimtab.UnsupportedOpError) as error:
        trimtab.load_model(rare, fallback=False)
    node, other = error.value.nodes
    assert (node.name, node.op_type, node.opset) == ("to_text", "Cast", 17)
    assert (node.dtype, other.name) == ("string", "to_number")
    assert "'to_text'" in str(error.value)
    assert "'to_number'" in str(error.value)
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
    normalizer = helper.make_node(
        "StringNormalizer",
        ["x"],
        ["y"],
        case_change_action="UPPER",
        is_case_sensitive=0,
        stopwords=["the"],
    )
    content = serialize([normalizer], [("x", TensorProto.STRING, ("n",))], ["y"], {})
    with pytest.warns(FallbackWarning, match="StringNormalizer"):
        model = trimtab.load_model(content)
    words = np.array(["The", "sails", "of", "the", "ship"], object)
    assert model(words).tolist() == ["SAILS", "OF", "SHIP"]


def test_support_says_who_runs_what(rare: bytes) -> None:
    support = describe_support(rare)
    runs = {use.op_type: use.runs for use in support.operators}
    assert runs == {"Cast": "Python (onnx.reference)", "Add": "engine"}
    assert not support.is_complete
    assert "onnx.reference" in repr(support)
