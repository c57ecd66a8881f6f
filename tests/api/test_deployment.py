"""Deployments: the whole way of a request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import trimtab

from .conftest import reference


def test_a_deployment_runs_the_three_in_turn(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(
        model,
        preprocess_input=lambda text: np.array([[float(p) for p in text.split()]]),
        postprocess_output=lambda y: int(y.argmax()),
    )
    expected = reference(np.array([[1, 2, 3, 4]], np.float32))["y"].argmax()
    assert deployment("1 2 3 4") == expected


def test_both_ends_are_optional(model: trimtab.Model, x) -> None:
    deployment = trimtab.deploy_model(model)
    y = model(x)
    for request in (x, (x,), {"x": x}):
        np.testing.assert_array_equal(deployment(request), y)
    assert "tiny.onnx" in repr(deployment)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (np.zeros((5, 3), np.float32), "expected 4 on axis 1"),
        (np.zeros(4, np.float32), "expected 2 dims"),
        ({"z": np.zeros((5, 4))}, "no input 'z'"),
        ({}, "'x' is missing"),
        ((1, 2), "1 inputs"),
        (np.array([["a"] * 4]), "dtype"),
    ],
)
def test_requests_are_checked_against_the_signature(
    model: trimtab.Model, request_, text: str
) -> None:
    deployment = trimtab.deploy_model(model)
    with pytest.raises(trimtab.InputError, match=text):
        deployment(request_)
    assert deployment.stats == {"n_requests": 1, "n_errors": 1}


def test_threads_share_a_deployment(model: trimtab.Model) -> None:
    deployment = trimtab.deploy_model(model, postprocess_output=np.copy)
    rng = np.random.default_rng(0)
    requests = [
        rng.standard_normal((n % 5 + 1, 4)).astype(np.float32) for n in range(64)
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(deployment, requests))
    for request, answer in zip(requests, answers, strict=True):
        assert answer.tobytes() == model(request).tobytes()
    assert deployment.stats == {"n_requests": 64, "n_errors": 0}


def test_a_batch_is_one_run_where_outputs_declare_the_batch(x) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"], name="double")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 4))],
    )
    opsets = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    model = trimtab.load_model(content, threads=1)
    deployment = trimtab.deploy_model(model, postprocess_output=lambda y: y * 10)
    requests = [x[:1], x[1:4], x[4:]]
    answers = deployment.predict_batch(requests)
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, 20 * request)
    assert model.stats["n_runs"] == 1
    assert deployment.stats["n_requests"] == 3
    assert deployment.predict_batch([]) == []


def test_a_batch_of_a_fixed_model_runs_one_by_one(x) -> None:
    from onnx import TensorProto, helper

    from .conftest import serialize

    content = serialize(
        [helper.make_node("Add", ["x", "x"], ["y"], name="double")],
        [("x", TensorProto.FLOAT, (1, 4))],
        ["y"],
    )
    model = trimtab.load_model(content, threads=1)
    answers = trimtab.deploy_model(model).predict_batch([x[:1], x[1:2]])
    np.testing.assert_array_equal(np.concatenate(answers), 2 * x[:2])
    assert model.stats["n_runs"] == 2


def test_what_cannot_be_called_is_refused(model: trimtab.Model) -> None:
    with pytest.raises(trimtab.InputError, match="preprocess_input must be callable"):
        trimtab.deploy_model(model, preprocess_input=5)  # type: ignore[arg-type]
