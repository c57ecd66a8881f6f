"""Deployments: the whole way of a request."""

from __future__ import annotations

import contextlib
import json
import os
import time
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
    assert deployment.stats["n_requests"] == deployment.stats["n_errors"] == 1
    assert sum(deployment.stats["errors"].values()) == 1


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
    stats = deployment.stats
    assert (stats["n_requests"], stats["n_errors"]) == (64, 0)
    assert stats["n_rows"] == sum(len(request) for request in requests)


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
    stats = deployment.stats
    assert (stats["n_requests"], stats["n_rows"]) == (3, len(x))
    assert deployment.snapshot()["stages"]["request"]["n"] == 3
    assert deployment.snapshot()["stages"]["postprocess"]["n"] == 1
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


# ---- counting ------------------------------------------------------------------------


def fail(_: object) -> None:
    raise KeyError("a step that fails")


def test_every_stage_is_timed(model: trimtab.Model, x) -> None:
    deployment = trimtab.deploy_model(
        model,
        preprocess_input=lambda y: time.sleep(0.02) or y,
        postprocess_output=lambda y: time.sleep(0.01) or y,
        name="slow",
    )
    for _ in range(3):
        deployment(x)
    stages = deployment.snapshot()["stages"]
    assert {stage["n"] for stage in stages.values()} == {3}
    assert stages["preprocess"]["p50_s"] >= 0.0199
    assert stages["postprocess"]["p50_s"] >= 0.0099
    parts = sum(deployment.stats["stages_s"].values())
    assert parts <= stages["request"]["sum_s"]
    assert deployment.stats["latency_s"]["p50"] >= 0.0298
    assert deployment.name == deployment.watcher.name == "slow"
    assert trimtab.deploy_model(model).name == model.name


@pytest.mark.parametrize("stage", ["preprocess_input", "postprocess_output"])
def test_a_step_that_fails_is_an_error_of_its_class(
    model: trimtab.Model, x, stage: str
) -> None:
    deployment = trimtab.deploy_model(model, **{stage: fail})
    for _ in range(2):
        with pytest.raises(KeyError):
            deployment(x)
    with pytest.raises(KeyError):
        deployment.predict_batch([x, x, x])
    stats = deployment.stats
    assert stats["errors"] == {"LookupError": 5}
    assert stats["n_requests"] == stats["n_errors"] == 5


def test_only_what_a_deployment_answers_is_its_own(model: trimtab.Model, x) -> None:
    one, other = trimtab.deploy_model(model), trimtab.deploy_model(model)
    model(x)
    one(x)
    one.pipeline(x)
    assert one.stats["n_requests"] == one.snapshot()["n_calls"] == 1
    assert other.stats["n_requests"] == 0


def test_odd_values_are_found_by_the_names_of_the_tensors(
    model: trimtab.Model, x
) -> None:
    deployment = trimtab.deploy_model(model)
    bad = x.copy()
    bad[1, 2] = np.nan
    deployment(bad)
    snapshot = deployment.snapshot()
    assert list(snapshot["inputs"]) == ["x"]
    assert snapshot["inputs"]["x"]["n_nan"] == 1
    assert snapshot["outputs"]["y"]["n_nan"] > 0
    assert snapshot["n_rows_looked"] == snapshot["n_rows"] == len(x)
    assert snapshot["clipping"] == {}
    json.dumps(snapshot)


def test_a_closed_model_is_an_error_that_is_counted(model: trimtab.Model, x) -> None:
    bare = trimtab.deploy_model(model)
    whole = trimtab.deploy_model(model, postprocess_output=np.copy)
    model.close()
    for deployment in (bare, whole):
        with pytest.raises(trimtab.InputError, match="closed"):
            deployment(x)
        with pytest.raises(trimtab.InputError, match="closed"):
            deployment.predict_batch([x])
        assert deployment.stats["errors"] == {"InputError": 2}


def test_deployments_of_several_processes_count_in_one_file(
    model: trimtab.Model, x, tmp_path
) -> None:
    path = tmp_path / "counters"
    deployment = trimtab.deploy_model(model, counters=path)
    deployment(x)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            deployment(x)
            trimtab.deploy_model(model, counters=path)(x)
        os._exit(0)
    os.waitpid(pid, 0)
    assert deployment.stats["n_requests"] == 3
    del deployment
    assert trimtab.deploy_model(model, counters=path).stats["n_requests"] == 3
    with pytest.raises(trimtab.InputError, match="a file of its own"):
        trimtab.deploy_model(model, counters=path, name="another")


def test_quantised_tensors_of_a_deployed_model_are_counted() -> None:
    from .test_clipping import draw, expected, quantising

    model = trimtab.load_model(quantising(np.uint8, 128))
    deployment = trimtab.deploy_model(model)
    x = draw()
    deployment(x)
    assert deployment.snapshot()["clipping"] == {"r": expected(x, np.uint8, 128)}


def test_inputs_with_one_symbol_must_agree_as_in_the_signature() -> None:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Identity", [name], [name + "_"]) for name in "ab"]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 2))
        for name in ("a", "b", "a_", "b_")
    ]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:])
    opsets = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    deployment = trimtab.deploy_model(trimtab.load_model(content.SerializeToString()))
    two, three = np.ones((2, 2), np.float32), np.ones((3, 2), np.float32)
    for request in ((two, three), {"a": two, "b": three}):
        with pytest.raises(trimtab.InputError, match="'n', which is 2"):
            deployment(request)
    assert len(deployment((two, two))) == 2
    np.testing.assert_array_equal(
        deployment({"b": three, "a": 2 * three})[0], 2 * three
    )
