"""Weights of 4 and 8 bits: rounding, GPTQ, and graphs that run."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper
from tests.ops.check import one_node_model

import trimtab
from trimtab.errors import InputError
from trimtab.optimize.blocks import block_parameters, round_to_nearest
from trimtab.optimize.gptq import Hessian, gptq
from trimtab.optimize.weight_only import (
    collect_hessians,
    quantize_dynamic,
    quantize_weights,
    weight_only_layers,
)

MATRIX = st.tuples(st.integers(1, 90), st.integers(1, 20))
KINDS = {
    "bits": st.sampled_from([4, 8]),
    "block_size": st.sampled_from([16, 32, 256]),
    "symmetric": st.booleans(),
    "search": st.booleans(),
}


@settings(max_examples=50, deadline=None)
@given(MATRIX, st.fixed_dictionaries(KINDS), st.integers(0, 2**32 - 1))
def test_every_weight_is_within_a_step(shape: Any, kind: Any, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    made = round_to_nearest(weights, **{**kind, "search": False})
    steps = np.repeat(np.abs(made.scales), kind["block_size"], 1)[:, : shape[0]].T
    # an extreme of the other sign has one step less, a zero point half a step
    assert (np.abs(made.dequantized() - weights) <= 1.01 * steps + 1e-6).all()
    if kind["search"]:
        found = round_to_nearest(weights, **kind).dequantized()
        least = np.square(made.dequantized() - weights).sum()
        assert np.square(found - weights).sum() <= least * 1.0001 + 1e-9


@settings(max_examples=25, deadline=None)
@given(MATRIX, st.fixed_dictionaries(KINDS), st.integers(0, 2**32 - 1))
def test_the_operator_reads_what_was_packed(shape: Any, kind: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=shape).astype(np.float32)
    made = round_to_nearest(weights, **kind)
    x = rng.normal(size=(3, shape[0])).astype(np.float32)
    inputs = [x, *made.tensors()]
    attributes = {
        "K": shape[0],
        "N": shape[1],
        "bits": kind["bits"],
        "block_size": kind["block_size"],
    }
    present = [i for i in range(1, 4) if inputs[i] is not None]
    data = one_node_model(
        "MatMulNBits",
        inputs if len(present) == 3 else inputs[:3],
        attributes,
        domain="com.microsoft",
        constants=present,
    ).SerializeToString()
    expected = x.astype(np.float64) @ made.dequantized()
    tolerance = 1e-5 * (np.abs(x) @ np.abs(made.dequantized())).max() + 1e-5
    found = trimtab.load_model(data, fallback=False)(x)
    np.testing.assert_allclose(found, expected, 0, tolerance)
    (other,) = ort.InferenceSession(data).run(None, {"x0": x})
    np.testing.assert_allclose(other, expected, 0, 10 * tolerance)


def test_zeros_stay_zeros() -> None:
    for symmetric in (True, False):
        made = round_to_nearest(np.zeros((40, 3), np.float32), symmetric=symmetric)
        assert not made.dequantized().any()
        scale, _ = block_parameters(np.zeros((2, 16), np.float32), 4)
        assert np.isfinite(scale).all()


# ---- GPTQ ----------------------------------------------------------------------------


def correlated(rng: Any, n: int, k: int) -> Any:
    """Inputs that a few directions explain."""
    base = rng.normal(size=(n, max(2, k // 8))) @ rng.normal(size=(max(2, k // 8), k))
    return (base + 0.1 * rng.normal(size=(n, k))).astype(np.float32)


def output_error(x: Any, weights: Any, made: Any) -> float:
    return float(np.square(x @ (made.dequantized() - weights)).mean())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    ("k", "block_size"), [(64, 32), (200, 32), (300, 256), (7, 16)]
)
def test_gptq_beats_rounding_on_correlated_inputs(
    bits: int, symmetric: bool, k: int, block_size: int
) -> None:
    rng = np.random.default_rng(0)
    x, weights = correlated(rng, 512, k), rng.normal(size=(k, 24)).astype(np.float32)
    hessian = Hessian(k)
    for part in np.array_split(x, 5):
        hessian.add(part)
    kind = {"bits": bits, "block_size": block_size, "symmetric": symmetric}
    by_gptq = gptq(weights, hessian, **kind)
    unseen = correlated(np.random.default_rng(0), 512, k)
    rounded = output_error(unseen, weights, round_to_nearest(weights, **kind))
    assert output_error(unseen, weights, by_gptq) < (0.6 if k > 7 else 1.0) * rounded


def test_columns_that_are_never_seen_and_singular_matrices() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(48, 8)).astype(np.float32)
    x = correlated(rng, 6, 48)  # fewer rows than columns
    x[:, [3, 17]] = 0
    hessian = Hessian(48)
    hessian.add(x)
    for damping in (0.01, 0.0):
        made = gptq(weights, hessian, damping=damping)
        assert np.isfinite(made.scales).all()
        assert output_error(x, weights, made) < output_error(
            x, weights, round_to_nearest(weights)
        )
    empty = gptq(weights, Hessian(48), block_size=16)
    rounded = round_to_nearest(weights, block_size=16)
    np.testing.assert_array_equal(empty.q, rounded.q)


def test_a_diagonal_matrix_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(100, 8)).astype(np.float32)
    made = gptq(weights, np.diag(rng.uniform(0.5, 2, 100)), symmetric=False)
    expected = round_to_nearest(weights, symmetric=False)
    np.testing.assert_array_equal(made.q[:, :100], expected.q[:, :100])
    np.testing.assert_allclose(made.dequantized(), expected.dequantized())


def test_what_is_not_finite_does_not_count() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    clean, dirty = Hessian(5), Hessian(5)
    clean.add(x[1:])
    x[0, 2] = np.nan
    dirty.add(x)
    np.testing.assert_array_equal(clean.matrix, dirty.matrix)
    with pytest.raises(InputError, match="finite"):
        gptq(np.ones((5, 2), np.float32), np.full((5, 5), np.nan))
    with pytest.raises(InputError, match="expected"):
        clean.add(x[:, :4])


# ---- graphs ------


def network() -> bytes:
    """Two products with what lies around them, one that stays."""
    rng = np.random.default_rng(4)
    sizes = {"w0": (40, 64), "w1": (30, 64), "b1": (30,), "w2": (2, 30, 5)}
    constants = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32) / 8, name)
        for name, s in sizes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "w1", "b1"], ["g"], "second", transB=1),
        helper.make_node("MatMul", ["g", "w2"], ["y"], "batch"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, "n", 5])],
        constants,
    )
    opsets = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return proto.SerializeToString()


def distance(y: Any, y_true: Any) -> float:
    return float(np.linalg.norm(y - y_true) / np.linalg.norm(y_true))


def test_layers_are_found_and_rewritten() -> None:
    model = trimtab.load_model(network())
    layers: dict[str, str] = {}

    def rewrite(graph: Any) -> Any:
        layers.update(weight_only_layers(graph))
        changed = quantize_weights(graph, layers, bits=8)
        assert graph.graph.nodes[0].op_type == "MatMul"
        assert "w0" not in changed.graph.constants
        return changed

    small = model.rewritten(rewrite)
    assert layers == {"first": "x", "second": "r"}
    x = np.random.default_rng(5).normal(size=(6, 40)).astype(np.float32)
    assert distance(small(x), model(x)) < 0.01


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_gptq_in_a_graph_is_nearer_than_rounding(activations: str) -> None:
    model = trimtab.load_model(network())
    x = correlated(np.random.default_rng(6), 400, 40)
    layers = {"first": "x", "second": "r"}
    hessians = collect_hessians(model, [{"x": x[:200]}, {"x": x[200:300]}], layers)
    assert hessians["second"].n_rows == 300
    errors = []
    for given_hessians in (None, hessians):
        small = model.rewritten(
            lambda graph, h=given_hessians: quantize_weights(
                graph, layers, hessians=h, activations=activations
            )
        )
        errors.append(distance(small(x[300:]), model(x[300:])))
    assert errors[1] < errors[0] < 0.2


def test_dynamic_layers_need_no_calibration() -> None:
    model = trimtab.load_model(network())
    small = model.rewritten(lambda graph: quantize_dynamic(graph, ["first", "second"]))
    x = np.random.default_rng(5).normal(size=(6, 40)).astype(np.float32)
    x[2] *= 1000  # rows have steps of their own
    for row in range(6):
        y, y_true = small(x[row : row + 1]), model(x[row : row + 1])
        assert distance(y, y_true) < 0.03
        np.testing.assert_allclose(small(x)[:, row], y[:, 0], 1e-5, 1e-5)


def test_a_model_with_small_weights_is_saved_and_loaded(tmp_path: Any) -> None:
    model = trimtab.load_model(network())
    x = np.random.default_rng(5).normal(size=(6, 40)).astype(np.float32)
    for rewrite in (quantize_dynamic, quantize_weights):
        small = model.rewritten(lambda graph, r=rewrite: r(graph, ["first", "second"]))
        path = tmp_path / f"{rewrite.__name__}.trim"
        small.save(path)
        np.testing.assert_array_equal(trimtab.load_model(path)(x), small(x))


def test_wrong_choices_are_refused() -> None:
    graph = trimtab.formats.read_model(network())
    with pytest.raises(InputError, match="batch"):
        quantize_weights(graph, ["batch"])
    with pytest.raises(InputError, match="first, second"):
        quantize_dynamic(graph, ["relu"])
    for wrong in ({"bits": 3}, {"block_size": 24}, {"activations": "int4"}):
        with pytest.raises(InputError, match="expected"):
            quantize_weights(graph, ["first"], **wrong)
