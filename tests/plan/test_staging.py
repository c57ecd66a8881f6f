"""Memory of an engine that is not ours: reached by map and unmap, as on a GPU.

The debug option ``staging=True`` takes that way on the ordinary CPU engine, so that
all but the device is tried on every machine.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from tests.conformance.ledger import read_ledger
from tests.ops.check import compare
from tests.zoo import MODELS, ZooUnavailable, run_onnxruntime

import trimtab
from trimtab import _core

# operators that become primitives of oneDNN, and some that run on the host between
PRIMITIVES = (
    "Conv ConvTranspose MatMul Gemm AveragePool MaxPool GlobalAveragePool LSTM GRU RNN "
    "BatchNormalization LayerNormalization Softmax Relu Add Sigmoid Resize Transpose "
    "Concat Slice ReduceMean Loop If ConvInteger QLinearConv QLinearMatMul Einsum"
).split()
TOLERANCE = 2e-4  # ONNX's expected values have four decimals in places


@cache
def cases():
    """ONNX's own cases of one node that is in PRIMITIVES and in the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case for case in collect_testcases(None) if is_wanted(case)}


def is_wanted(case) -> bool:
    nodes, opsets = case.model.graph.node, case.model.opset_import
    if len(nodes) != 1 or nodes[0].op_type not in PRIMITIVES:
        return False
    arrays = [x for inputs, outputs in case.data_sets for x in [*inputs, *outputs]]
    return (
        all(isinstance(x, np.ndarray) for x in arrays)
        and _core.has_operator(nodes[0].domain, nodes[0].op_type, opsets[0].version)
        and getattr(rows().get(f"node/{case.name}"), "column", None) == "core"
    )


@cache
def rows():
    """What becomes of each of ONNX's cases."""
    return read_ledger().rows


def test_the_cases_are_many() -> None:
    assert len({c.model.graph.node[0].op_type for c in cases().values()}) > 12


@pytest.mark.parametrize("name", cases())
def test_an_operator_computes_the_same(name: str) -> None:
    case = cases()[name]
    model = trimtab.load_model(
        case.model.SerializeToString(), staging=True, fallback=False
    )
    for inputs, outputs in case.data_sets:
        feeds = {spec.name: x for spec, x in zip(model.inputs, inputs, strict=True)}
        result = model.run(feeds)
        for spec, want in zip(model.outputs, outputs, strict=True):
            compare(np.asarray(result[spec.name]), np.asarray(want), TOLERANCE)


def conv_model() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    w = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["y"], name="relu"),
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4, "h", "w"))],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(w, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets).SerializeToString()


@pytest.mark.skipif(
    _core.dnnl_info()["cpu_runtime"] == "sycl", reason="always staged there"
)
def test_the_switch_reaches_the_engine() -> None:
    """A staged call keeps a list of its arguments: it allocates more."""
    x = np.ones((1, 4, 9, 9), np.float32)
    counts = []
    for staging in (False, True):
        model = trimtab.load_model(conv_model(), staging=staging, threads=1)
        _core.fail_alloc(0)
        model(x)
        counts.append(_core.fail_alloc(0))
    assert counts[1] > counts[0]


def test_staged_calls_share_nothing() -> None:
    """Calls of several threads, each with memory of the engine of its own."""
    from concurrent.futures import ThreadPoolExecutor

    plain = trimtab.load_model(conv_model(), threads=1)
    staged = trimtab.load_model(conv_model(), threads=1, staging=True)
    rng = np.random.default_rng(1)
    inputs = [
        rng.standard_normal((1, 4, 9, 5 + n % 3)).astype(np.float32) for n in range(48)
    ]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(staged, inputs))
    for x, y in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(y, plain(x))


def test_bound_arrays_are_staged_each_time() -> None:
    model = trimtab.load_model(conv_model(), staging=True)
    x = np.zeros((1, 4, 9, 9), np.float32)
    binding = model.bind(x)
    assert not binding.run().any()
    x[:] = np.random.default_rng(2).standard_normal(x.shape)
    np.testing.assert_array_equal(binding.run(), model(x))


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["mnist_cnn", "minilm_dynamo", "silero_vad"])
def test_a_real_model_computes_the_same(name: str) -> None:
    try:
        path, inputs = MODELS[name].path(), MODELS[name].inputs()
    except (KeyError, ZooUnavailable) as reason:
        pytest.skip(str(reason))
    got = trimtab.load_model(path, staging=True).run(inputs)
    for output, want in run_onnxruntime(path, inputs).items():
        compare(got[output], want, 2e-5)
