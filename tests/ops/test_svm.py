"""Support vector machines and linear models against onnxruntime and scikit-learn."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper

import trimtab
from trimtab import ModelFormatError, TrimtabError, UnsupportedOpError

KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]
FLOAT = {"y": TensorProto.FLOAT}
CLASSES = {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}


def model_of(
    op_type: str, attributes: dict[str, Any], x: np.ndarray, outputs: dict[str, int]
) -> bytes:
    node = helper.make_node(
        op_type, ["x"], list(outputs), name="n", domain="ai.onnx.ml", **attributes
    )
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", code, ["n", *x.shape[1:]])],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=8
    ).SerializeToString()


def check(content: bytes, x: np.ndarray, tolerance: float, threads: int = 1) -> None:
    found = trimtab.load_model(content, fallback=False, threads=threads).run(x)
    expected = ort.InferenceSession(content).run(None, {"x": x})
    for result, truth in zip(found.values(), expected, strict=True):
        assert result.dtype == truth.dtype
        assert result.shape == truth.shape
        np.testing.assert_allclose(result, truth, tolerance, tolerance)


def classifier(
    rng: np.random.Generator, per_class: list[int], n_features: int, kernel: str
) -> dict[str, Any]:
    k, n = len(per_class), sum(per_class)
    return {
        "classlabels_ints": rng.permutation(50)[:k].tolist(),
        "coefficients": rng.normal(size=(k - 1) * n).tolist(),
        "support_vectors": rng.normal(size=n * n_features).tolist(),
        "vectors_per_class": per_class,
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.2, 3.0],
        "rho": rng.normal(size=k * (k - 1) // 2).tolist(),
    }


@given(
    seed=st.integers(0, 2**32 - 1),
    per_class=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    n_features=st.integers(1, 9),
    kernel=st.sampled_from(KERNELS),
    post=st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"]),
    n_rows=st.sampled_from([1, 3, 4, 16, 17, 50]),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
    has_probabilities=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_classifiers_vote_as_onnxruntime_does(
    seed: int,
    per_class: list[int],
    n_features: int,
    kernel: str,
    post: str,
    n_rows: int,
    dtype: Any,
    has_probabilities: bool,
) -> None:
    rng = np.random.default_rng(seed)
    attributes = classifier(rng, per_class, n_features, kernel)
    attributes["post_transform"] = post
    n_pairs = len(attributes["rho"])
    if has_probabilities:
        attributes["post_transform"] = "NONE"
        attributes["prob_a"] = (-1 - rng.random(n_pairs)).tolist()
        attributes["prob_b"] = rng.normal(size=n_pairs).tolist()
    x = (2 * rng.normal(size=(n_rows, n_features))).astype(dtype)
    content = model_of("SVMClassifier", attributes, x, CLASSES)
    check(content, x, 1e-3 if kernel == "POLY" else 1e-4, threads=2)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
@pytest.mark.parametrize("n", [0, 7, 33])
def test_regressors_are_what_onnxruntime_gives(
    kernel: str, one_class: int, n: int
) -> None:
    rng = np.random.default_rng(n)
    attributes = {
        "coefficients": rng.normal(size=n or 5).tolist(),
        "kernel_type": kernel,
        "kernel_params": [0.2, 0.1, 2.0],
        "rho": [0.3],
        "one_class": one_class,
        "n_supports": n,
    }
    if n:
        attributes["support_vectors"] = rng.normal(size=n * 5).tolist()
    x = rng.normal(size=(37, 5)).astype(np.float32)
    check(model_of("SVMRegressor", attributes, x, FLOAT), x, 1e-4)


def test_probabilities_are_those_of_scikit_learn() -> None:
    svm = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = np.digitize(x[:, 0] * x[:, 1] + np.sin(x[:, 2]), [-0.5, 0.2, 0.8])
    model = trimtab.load_model(
        svm.SVC(probability=True, random_state=0).fit(x, y), fallback=False
    )
    label, probabilities = model(x)
    known = svm.SVC(probability=True, random_state=0).fit(x, y)
    np.testing.assert_array_equal(label, known.predict(x))
    np.testing.assert_allclose(probabilities, known.predict_proba(x), 1e-4, 1e-5)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("n_scores", [1, 2, 3])
def test_linear_classifiers_are_what_onnxruntime_gives(
    post: str, n_scores: int
) -> None:
    rng = np.random.default_rng(n_scores)
    attributes = {
        "coefficients": rng.normal(size=n_scores * 6).tolist(),
        "intercepts": rng.normal(size=n_scores).tolist(),
        "classlabels_ints": [9, 4, 6][: max(n_scores, 2)],
        "post_transform": post,
    }
    x = rng.normal(size=(29, 6)).astype(np.float32)
    check(model_of("LinearClassifier", attributes, x, CLASSES), x, 1e-5)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
def test_linear_regressors_are_what_onnxruntime_gives(post: str) -> None:
    attributes = {
        "coefficients": np.linspace(-1, 1, 18).tolist(),
        "intercepts": [0.1, 0.2, -0.3],
        "targets": 3,
        "post_transform": post,
    }
    x = np.random.default_rng(0).normal(size=(29, 6)).astype(np.float32)
    check(model_of("LinearRegressor", attributes, x, FLOAT), x, 1e-5)


HOSTILE = {
    "fewer coefficients": {"coefficients": [1.0, 2.0]},
    "vectors that do not divide": {"support_vectors": [1.0] * 13},
    "negative vectors": {"vectors_per_class": [-1, 6]},
    "vectors without end": {"vectors_per_class": [2**62, 2**62]},
    "vectors of more classes": {"vectors_per_class": [2, 2, 1]},
    "an unknown kernel": {"kernel_type": "CHI2"},
    "one kernel parameter": {"kernel_params": [1.0]},
    "prob_b alone": {"prob_b": [1.0]},
    "labels of no kind": {"classlabels_ints": 3},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_machines_that_contradict_themselves_are_refused_when_loaded(
    change: dict[str, Any],
) -> None:
    attributes = classifier(np.random.default_rng(0), [3, 2], 3, "RBF")
    x = np.zeros((2, 3), np.float32)
    content = model_of("SVMClassifier", {**attributes, **change}, x, CLASSES)
    with pytest.raises(ModelFormatError, match="SVMClassifier 'n'"):
        trimtab.load_model(content, fallback=False)


def test_rows_of_another_width_are_refused() -> None:
    attributes = classifier(np.random.default_rng(0), [3, 2], 3, "RBF")
    x = np.zeros((2, 4), np.float32)
    content = model_of("SVMClassifier", attributes, x, CLASSES)
    with pytest.raises(TrimtabError, match="vectors have 3 features, the input has 4"):
        trimtab.load_model(content)(x)


# ---- tables of numbers ---------------------------------------------------------------


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_label_encoders_look_numbers_up(data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = data.draw(st.integers(1, 40))
    keys_are_real, values_are_real = data.draw(st.booleans()), data.draw(st.booleans())
    pool = rng.permutation(100)[:n] - 50
    keys = (pool / 2).astype(np.float32) if keys_are_real else pool.astype(np.int64)
    values = rng.normal(size=n).astype(np.float32)
    attributes: dict[str, Any] = {
        ("keys_floats" if keys_are_real else "keys_int64s"): keys.tolist(),
    }
    if values_are_real:
        attributes |= {"values_floats": values.tolist(), "default_float": 0.5}
    else:
        values = rng.integers(-(2**40), 2**40, n)
        attributes |= {"values_int64s": values.tolist(), "default_int64": 77}
    x = rng.choice([*keys.tolist(), 1000], (3, 5)).astype(keys.dtype)
    kind = TensorProto.FLOAT if values_are_real else TensorProto.INT64
    check(model_of("LabelEncoder", attributes, x, {"y": kind}), x, 0)


def test_nan_is_a_key_like_others() -> None:
    attributes = {"keys_floats": [1.0, np.nan], "values_int64s": [5, 6]}
    x = np.array([[np.nan, 1.0, 2.0]], np.float32)
    content = model_of("LabelEncoder", attributes, x, {"y": TensorProto.INT64})
    found = trimtab.load_model(content, fallback=False)(x)
    np.testing.assert_array_equal(found, [[6, 5, -1]])


def test_label_encoders_of_strings_are_none_of_the_core() -> None:
    attributes = {"keys_strings": ["a", "b"], "values_int64s": [1, 2]}
    x = np.zeros((2, 1), np.int64)
    content = model_of("LabelEncoder", attributes, x, {"y": TensorProto.INT64})
    with pytest.raises(UnsupportedOpError):
        trimtab.load_model(content, fallback=False)
