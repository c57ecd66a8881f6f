"""Operators that ONNX defines by others, with an engine that pretends to lack them."""

import types
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.ops.check import compare

import trimtab
from trimtab import _core
from trimtab.errors import ModelLimitError
from trimtab.formats import onnx_schema_functions as functions
from trimtab.limits import Limits

# Of Bernoulli the body draws the opposite of what the text says; the operators that the
# engine lacks itself, or whose bodies use what it lacks, are tested where they come.
UNTESTED = ("Bernoulli", "SequenceMap", "LinearAttention", "CastLike", "FlexAttention")


def has_body(model):
    """Is it one node whose schema has a function?"""
    if len(model.graph.node) != 1:
        return False
    node = model.graph.node[0]
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if node.domain.startswith("ai.onnx.ml") or node.op_type in UNTESTED:
        return False
    schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
    return schema.has_function or schema.has_context_dependent_function


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    return {case.name: case for case in found if has_body(case.model)}


CASES = cases()


@pytest.fixture
def lack(monkeypatch):
    """Call it with names of operators: the reader takes them for unknown."""
    missing = set()

    def has_operator(domain, name, version):
        return name not in missing and _core.has_operator(domain, name, version)

    fake = types.SimpleNamespace(has_operator=has_operator)
    monkeypatch.setattr(functions, "_core", fake)
    return missing.update


def operators(model):
    return [node.op_type for graph in model.graphs() for node in graph.nodes]


def read(proto):
    from trimtab.formats.onnx import read_onnx

    return read_onnx(proto.SerializeToString(), Limits())


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


@pytest.mark.parametrize("name", sorted(CASES))
def test_bodies_compute_what_the_operator_does(lack, name):
    proto = CASES[name].model
    lack([proto.graph.node[0].op_type])
    if proto.graph.node[0].op_type in operators(read(proto)):
        versions = {entry.domain: entry.version for entry in proto.opset_import}
        assert proto.graph.node[0].op_type in ("Relu", "Shrink")
        assert versions[""] < 18  # their bodies are of opset 18
        return
    model = trimtab.load_model(proto.SerializeToString(), fallback=False)
    for inputs, outputs in CASES[name].data_sets:
        feeds = dict(
            zip([i.name for i in model.inputs], map(array, inputs), strict=True)
        )
        result = model.run(feeds)
        for output, want in zip(model.outputs, map(array, outputs), strict=True):
            tolerance = {"float16": 5e-3, "bfloat16": 3e-2}.get(want.dtype.name, 2e-4)
            compare(np.asarray(result[output.name]), want, tolerance)


def node_model(node, inputs, opsets, initializers=()):
    graph = helper.make_graph(
        [node] if isinstance(node, onnx.NodeProto) else node,
        "g",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_empty_tensor_value_info("y")],
        list(initializers),
    )
    imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
    return helper.make_model(graph, opset_imports=imports)


def test_attributes_have_their_defaults_and_what_the_node_says(lack):
    lack(["HardSigmoid"])
    x = np.linspace(-4, 4, 50, dtype=np.float32)
    for attrs, a, b in ({}, 0.2, 0.5), ({"alpha": 0.4, "beta": 0.1}, 0.4, 0.1):
        node = helper.make_node("HardSigmoid", ["x"], ["y"], **attrs)
        proto = node_model(node, [("x", 1, [50])], {"": 22})
        assert "HardSigmoid" not in operators(read(proto))
        got = trimtab.load_model(proto.SerializeToString())(x)
        np.testing.assert_allclose(got, np.clip(a * x + b, 0, 1), atol=1e-6)


def test_a_body_older_than_the_model_is_kept_out_where_words_changed(lack, monkeypatch):
    """Reductions got axes as an input in opset 18; the body of 13 has an attribute."""
    lack(["MeanVarianceNormalization"])
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2])
    for opset in 9, 13, 17, 18, 22:
        proto = node_model(node, [("x", 1, [2, 3, 4])], {"": opset})
        assert "ReduceMean" in operators(read(proto))
        x = np.random.default_rng(opset).random((2, 3, 4), np.float32)
        got = trimtab.load_model(proto.SerializeToString(), fallback=False)(x)
        want = (x - x.mean((0, 2), keepdims=True)) / x.std((0, 2), keepdims=True)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    body = onnx.FunctionProto()
    body.opset_import.add(domain="", version=13)
    body.node.add(op_type="ReduceMean")
    assert functions._fits(body, {"": 17})
    assert not functions._fits(body, {"": 18})


def test_types_are_found_along_the_graph(lack):
    """A builder wants the type of what two nodes before made."""
    lack(["Softmax", "Gelu"])
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["c", "c"], ["m"]),
        helper.make_node("Gelu", ["m"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    proto = node_model(nodes, [("x", 1, [2, 3])], {"": 20})
    assert not {"Gelu", "Softmax"} & set(operators(read(proto)))
    x = np.array([[1, 2, 0.5], [0, -1, 1]], np.float32)
    got = trimtab.load_model(proto.SerializeToString(), fallback=False)(x)
    from scipy.special import erf, softmax

    m = x.astype(np.float64) ** 2
    want = softmax(0.5 * m * (1 + erf(m / np.sqrt(2))), -1)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_nodes_in_branches_and_names_of_the_model(lack):
    """A value of the model that looks like one of a body stays another."""
    lack(["Softsign"])
    relu = helper.make_node("Softsign", ["expanded_1"], ["t"])
    neg = helper.make_node("Neg", ["expanded_1"], ["e"])
    then = helper.make_graph(
        [relu], "t", [], [helper.make_tensor_value_info("t", 1, None)]
    )
    other = helper.make_graph(
        [neg], "e", [], [helper.make_tensor_value_info("e", 1, None)]
    )
    nodes = [
        helper.make_node("Softsign", ["x"], ["expanded_1"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    proto = node_model(nodes, [("x", 1, [3]), ("c", 9, [])], {"": 18})
    assert "Softsign" not in operators(read(proto))
    model = trimtab.load_model(proto.SerializeToString(), fallback=False)
    x = np.array([-2, 0, 3], np.float32)
    once = x / (1 + np.abs(x))
    np.testing.assert_allclose(model(x, np.array(False)), -once, rtol=1e-6)
    twice = once / (1 + np.abs(once))
    np.testing.assert_allclose(model(x, np.array(True)), twice, rtol=1e-6)


def test_functions_that_call_functions(lack):
    lack(["SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss", "LogSoftmax"])
    node = helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"])
    proto = node_model(node, [("x", 1, [4, 3]), ("t", 7, [4])], {"": 13})
    found = operators(read(proto))
    assert not {"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"} & set(found)
    x = np.random.default_rng(0).random((4, 3), np.float32)
    t = np.array([0, 2, 1, 1])
    got = trimtab.load_model(proto.SerializeToString(), fallback=False)(x, t)
    want = -np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))[range(4), t].mean()
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_body_that_the_engine_cannot_run_is_left_alone(lack):
    lack(["Softsign", "Abs"])
    node = helper.make_node("Softsign", ["x"], ["y"])
    assert operators(read(node_model(node, [("x", 1, [3])], {"": 18}))) == ["Softsign"]


def test_another_domain_brings_the_opset_that_its_body_needs(lack):
    """FlexAttention is of opset 1 of its domain; the body speaks ai.onnx."""
    q = [("q", 1, [1, 2, 3, 4]), ("k", 1, [1, 2, 5, 4]), ("v", 1, [1, 2, 5, 4])]
    node = helper.make_node(
        "FlexAttention", ["q", "k", "v"], ["y"], domain="ai.onnx.preview"
    )
    lack(["FlexAttention"])
    model = read(node_model(node, q, {"ai.onnx.preview": 1}))
    assert "FlexAttention" not in operators(model)
    assert model.opsets[""] >= 13


@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs", "attrs"),
    [
        ("Softsign", [], ["y"], {}),
        ("Softsign", ["x", "x"], ["y"], {}),
        ("Softsign", ["x"], ["y", "z"], {}),
        ("Softsign", ["nothing"], ["y"], {}),
        ("Softmax", ["x"], ["y"], {"axis": "text"}),
        ("Softmax", ["x"], ["y"], {"axis": [1, 2]}),
        ("SoftmaxCrossEntropyLoss", ["x"], ["y"], {}),
        ("SoftmaxCrossEntropyLoss", ["x", ""], ["y"], {"reduction": 3}),
        ("SoftmaxCrossEntropyLoss", ["x", "x"], ["y"], {"reduction": "none"}),
        ("LayerNormalization", ["x", "x"], ["y"], {"axis": 77}),
        ("CenterCropPad", ["x", "x"], ["y"], {"axes": [9, 9]}),
        ("RotaryEmbedding", ["x", "x", "x"], ["y"], {"num_heads": -3}),
    ],
)
def test_hostile_nodes_are_refused_or_left(lack, op_type, inputs, outputs, attrs):
    lack([op_type])
    node = helper.make_node(op_type, inputs, outputs, **attrs)
    proto = node_model(node, [("x", 1, [3, 3])], {"": 23})
    with pytest.raises(trimtab.TrimtabError):
        model = trimtab.load_model(proto.SerializeToString(), fallback=False)
        model(np.ones((3, 3), np.float32))


def test_the_number_of_nodes_is_bounded(lack):
    lack(["Softsign"])
    nodes = [helper.make_node("Softsign", ["x"], [f"z{i}"]) for i in range(200)]
    nodes.append(helper.make_node("Softsign", ["x"], ["y"]))
    proto = node_model(nodes, [("x", 1, [3])], {"": 18})
    with pytest.raises(ModelLimitError, match="max_nodes is 300"):
        functions.expand_schema_functions(proto, Limits(max_nodes=300))


def test_onnx_is_not_imported_for_a_model_that_needs_no_body():
    from tests.ops.check import run_with_isa

    code = f"""
import sys
from trimtab.formats.onnx import read_onnx
from trimtab.limits import Limits
read_onnx(bytes.fromhex({PLAIN.hex()!r}), Limits())
print("onnx" in sys.modules)
"""
    assert run_with_isa("avx2", code).strip() == "False"


PLAIN = node_model(
    helper.make_node("Relu", ["x"], ["y"]), [("x", 1, [3])], {"": 18}
).SerializeToString()
