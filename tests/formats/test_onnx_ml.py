"""Operators of ai.onnx.ml in plain ones, against onnxruntime."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper

import trimtab
from trimtab import ModelFormatError
from trimtab.formats.onnx_ml import CLASS_NAMES, REWRITES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 4)).astype(np.float32)
GAPS = np.where(RNG.random((7, 4)) < 0.3, np.nan, X).astype(np.float32)
INTS = RNG.integers(0, 5, (7, 4))


def model_of(
    op_type: str,
    attributes: dict[str, Any],
    x: np.ndarray,
    outputs: dict[str, int],
    opset: int = 18,
) -> bytes:
    """One node of ai.onnx.ml."""
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
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return proto.SerializeToString()


def check(content: bytes, x: np.ndarray, tolerance: float = 1e-5) -> None:
    """All of it in the engine, and what onnxruntime gives."""
    model = trimtab.load_model(content, fallback=False)
    expected = ort.InferenceSession(content).run(None, {"x": x})
    for result, truth in zip(model.run(x).values(), expected, strict=True):
        np.testing.assert_allclose(result, truth, tolerance, tolerance)
        assert result.dtype == truth.dtype
        assert result.shape == truth.shape


FLOAT = {"y": TensorProto.FLOAT}
LINEAR = {"coefficients": RNG.normal(size=12).tolist(), "intercepts": [0.1, -0.2, 0.3]}
CLASSES = {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}


def support(kernel: str) -> dict[str, Any]:
    return {
        "coefficients": RNG.normal(size=5).tolist(),
        "support_vectors": RNG.normal(size=20).tolist(),
        "kernel_params": [0.3, 0.5, 2.0],
        "kernel_type": kernel,
        "n_supports": 5,
        "rho": [0.7],
    }


NODES = [
    ("Scaler", {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.5] * 4}, X, FLOAT),
    ("Scaler", {"offset": [1.0], "scale": [2.0]}, INTS, FLOAT),
    ("Normalizer", {"norm": "L1"}, X, FLOAT),
    ("Normalizer", {"norm": "L2"}, X, FLOAT),
    ("Binarizer", {"threshold": 0.2}, X, FLOAT),
    (
        "Imputer",
        {"imputed_value_floats": [1.0, 2.0, 3.0, 4.0], "replaced_value_float": np.nan},
        GAPS,
        FLOAT,
    ),
    (
        "Imputer",
        {"imputed_value_floats": [9.0], "replaced_value_float": 0.0},
        np.round(X),
        FLOAT,
    ),
    ("FeatureVectorizer", {"inputdimensions": [4]}, X, FLOAT),
    (
        "LabelEncoder",
        {"keys_int64s": [3, 1, 2], "values_int64s": [30, 10, 20], "default_int64": -7},
        INTS,
        {"y": TensorProto.INT64},
    ),
    (
        "LabelEncoder",
        {"keys_int64s": [3, 1], "values_floats": [0.5, 1.5], "default_float": 9.0},
        INTS,
        FLOAT,
    ),
    ("OneHotEncoder", {"cats_int64s": [0, 2, 4], "zeros": 1}, INTS[:, :1], FLOAT),
    *(
        ("LinearRegressor", {**LINEAR, "targets": 3, "post_transform": post}, X, FLOAT)
        for post in ("NONE", "LOGISTIC", "SOFTMAX")
    ),
    *(
        (
            "LinearClassifier",
            {**LINEAR, "classlabels_ints": [5, 3, 9], "post_transform": post},
            X,
            CLASSES,
        )
        for post in ("NONE", "LOGISTIC", "SOFTMAX")
    ),
    *(
        ("SVMRegressor", support(kernel), X, FLOAT)
        for kernel in ("LINEAR", "RBF", "POLY", "SIGMOID")
    ),
]


@pytest.mark.parametrize(("op_type", "attributes", "x", "outputs"), NODES)
def test_a_node_gives_what_onnxruntime_gives(
    op_type: str, attributes: dict[str, Any], x: np.ndarray, outputs: dict[str, int]
) -> None:
    check(model_of(op_type, attributes, x, outputs), x)


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 17, 21])
def test_any_opset_of_the_rest_will_do(opset: int) -> None:
    content = model_of("Normalizer", {"norm": "L2"}, X, FLOAT, opset)
    check(content, X)


def test_every_rewrite_is_tried_here_or_with_scikit_learn() -> None:
    with_scikit_learn = {"ArrayFeatureExtractor"}
    here = {name for name, *_ in NODES} - {"SVMRegressor"}  # has a kernel
    assert here | with_scikit_learn == set(REWRITES)


# ---- trees ---------------------------------------------------------------------------


def grow(draw: Any, prefix: str, n_scores: int, mode: str) -> dict[str, Any]:
    """Attributes of an ensemble of random trees."""
    nodes: dict[str, list[Any]] = {
        f"nodes_{key}": []
        for key in (
            "treeids nodeids featureids truenodeids falsenodeids values modes "
            "missing_value_tracks_true"
        ).split()
    }
    weights: dict[str, list[Any]] = {
        f"{prefix}_{key}": [] for key in "treeids nodeids ids weights".split()
    }
    for tree in range(draw(st.integers(1, 4))):
        waiting, n = [(0, 0)], 1
        for number, depth in waiting:
            is_leaf = depth == 4 or (depth > 0 and draw(st.booleans()))
            feature = 0 if is_leaf else draw(st.integers(0, 3))
            value = 0.0 if is_leaf else draw(st.sampled_from(X[:, feature].tolist()))
            children = (0, 0) if is_leaf else (n, n + 1)
            if is_leaf:
                for column in range(n_scores):
                    weights[f"{prefix}_treeids"].append(tree)
                    weights[f"{prefix}_nodeids"].append(number)
                    weights[f"{prefix}_ids"].append(column)
                    weight = draw(st.integers(-8, 8)) / 4
                    weights[f"{prefix}_weights"].append(weight)
            else:
                waiting += [(child, depth + 1) for child in children]
                n += 2
            for key, item in (
                ("treeids", tree),
                ("nodeids", number),
                ("featureids", feature),
                ("truenodeids", children[0]),
                ("falsenodeids", children[1]),
                ("values", value),
                ("modes", "LEAF" if is_leaf else mode),
                ("missing_value_tracks_true", int(not is_leaf and draw(st.booleans()))),
            ):
                nodes[f"nodes_{key}"].append(item)
    return {**nodes, **weights}


MODES = st.sampled_from(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])


@given(data=st.data(), mode=MODES, with_gaps=st.booleans())
@settings(max_examples=40, deadline=None)
def test_tree_regressors_give_what_onnxruntime_gives(
    data: st.DataObject, mode: str, with_gaps: bool
) -> None:
    attributes = grow(data.draw, "target", 2, mode)
    more = {
        "n_targets": 2,
        "base_values": [0.5, -1.0],
        "aggregate_function": data.draw(st.sampled_from(["SUM", "AVERAGE"])),
    }
    x = GAPS if with_gaps else X
    check(model_of("TreeEnsembleRegressor", {**attributes, **more}, x, FLOAT), x)


@given(data=st.data(), mode=MODES, post=st.sampled_from(["NONE", "SOFTMAX"]))
@settings(max_examples=25, deadline=None)
def test_tree_classifiers_give_what_onnxruntime_gives(
    data: st.DataObject, mode: str, post: str
) -> None:
    attributes = grow(data.draw, "class", 3, mode)
    more = {"classlabels_int64s": [4, 2, 7], "post_transform": post}
    check(model_of("TreeEnsembleClassifier", {**attributes, **more}, X, CLASSES), X)


STUMP: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_values": [0.0, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [1.0, 2.0],
    "n_targets": 1,
}


@pytest.mark.parametrize(
    "change",
    [
        {"nodes_truenodeids": [0, 0, 0]},  # a cycle
        {"nodes_truenodeids": [9, 0, 0]},
        {"nodes_nodeids": [0, 1, 1]},
        {"nodes_featureids": [-1, 0, 0]},
        {"nodes_values": [0.0]},
        {"target_nodeids": [1, 7]},
        {"target_ids": [0, 5]},
        {"target_weights": [1.0]},
    ],
)
def test_trees_that_are_none_are_refused(change: dict[str, Any]) -> None:
    content = model_of("TreeEnsembleRegressor", {**STUMP, **change}, X, FLOAT)
    with pytest.raises(ModelFormatError, match="TreeEnsembleRegressor 'n'"):
        trimtab.load_model(content)


# ---- names of classes, dicts of probabilities ---------------------------------------


def test_strings_as_labels_become_numbers() -> None:
    names = ["no", "yes", "mäybe"]
    attributes = {**LINEAR, "classlabels_strings": names, "post_transform": "SOFTMAX"}
    outputs = {"label": TensorProto.STRING, "scores": TensorProto.FLOAT}
    content = model_of("LinearClassifier", attributes, X, outputs)
    model = trimtab.load_model(content, fallback=False)
    labels, scores = model(X)
    expected = ort.InferenceSession(content).run(None, {"x": X})
    assert [names[i] for i in labels] == list(expected[0])
    np.testing.assert_allclose(scores, expected[1], 1e-5, 1e-5)
    assert model.class_names == names
    assert CLASS_NAMES in model.metadata
    assert "int64" in str(model.outputs[0])


def test_models_without_names_have_none() -> None:
    content = model_of("Binarizer", {"threshold": 0.2}, X, FLOAT)
    assert trimtab.load_model(content).class_names is None


def test_a_zip_map_gives_the_matrix() -> None:
    linear = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_ints=[5, 3, 9],
        **LINEAR,
    )
    zipped = helper.make_node(
        "ZipMap", ["scores"], ["dicts"], domain="ai.onnx.ml", classlabels_int64s=[5, 3]
    )
    kind = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    graph = helper.make_graph(
        [linear, zipped],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, None),
            helper.make_value_info("dicts", helper.make_sequence_type_proto(kind)),
        ],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 1)]
    content = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    model = trimtab.load_model(onnx.load_from_string(content), fallback=False)
    weights = np.reshape(LINEAR["coefficients"], (3, 4)).T
    np.testing.assert_allclose(
        model.run(X)["dicts"], X @ weights + LINEAR["intercepts"], 1e-5, 1e-5
    )
