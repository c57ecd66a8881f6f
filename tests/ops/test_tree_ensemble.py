"""Ensembles of trees against a walk by the definition, and against onnxruntime."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper

import trimtab

MODES = "LEQ LT GTE GT EQ NEQ".split()
COMPARE = {
    "LEQ": np.less_equal,
    "LT": np.less,
    "GTE": np.greater_equal,
    "GT": np.greater,
    "EQ": np.equal,
    "NEQ": np.not_equal,
    "MEMBER": lambda x, items: x in items,
}
SMALL = float(np.float32(1e-42))  # subnormal
VALUES = [-2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, np.inf, -np.inf, SMALL]
N_FEATURES = 5


# ---- trees, grown and walked ---------------------------------------------------------


def grow(rng: np.random.Generator, depth: int, modes: list[str]) -> dict[str, Any]:
    """A random tree: nested dicts."""
    if depth == 0 or rng.random() < 0.15:
        return {"weight": float(rng.integers(-8, 9)) / 4}
    mode = str(rng.choice(modes))
    n_items = int(rng.integers(1, 6))
    return {
        "mode": mode,
        "feature": int(rng.integers(N_FEATURES)),
        "value": float(rng.choice([*VALUES, np.nan] if mode != "MEMBER" else VALUES)),
        "items": [float(v) for v in rng.choice(VALUES, n_items)],
        "missing": bool(rng.random() < 0.4),
        "true": grow(rng, depth - 1, modes),
        "false": grow(rng, depth - 1, modes),
    }


def walk(tree: dict[str, Any], row: np.ndarray) -> dict[str, Any]:
    """The leaf that a row reaches, by the definition."""
    while "mode" in tree:
        x = row[tree["feature"]]
        right = tree["items"] if tree["mode"] == "MEMBER" else tree["value"]
        passed = bool(COMPARE[tree["mode"]](x, right))
        passed = passed or (tree["missing"] and bool(np.isnan(x)))
        tree = tree["true"] if passed else tree["false"]
    return tree


def numbered(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Nodes of a tree, its root first; children know their numbers."""
    nodes = [tree]
    for number, node in enumerate(nodes):  # grows while it is walked
        node["number"] = number
        nodes += [node[key] for key in ("true", "false") if key in node]
    return nodes


def attributes_of(trees: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    """As TreeEnsembleRegressor and -Classifier have them; leaves have `scores`."""
    found: dict[str, list[Any]] = {}

    def add(**items: Any) -> None:
        for key, item in items.items():
            found.setdefault(key, []).append(item)

    for number, tree in enumerate(trees):
        for node in numbered(tree):
            is_leaf = "mode" not in node
            add(
                nodes_treeids=number,
                nodes_nodeids=node["number"],
                nodes_featureids=node.get("feature", 0),
                nodes_values=node.get("value", 0.0),
                nodes_truenodeids=0 if is_leaf else node["true"]["number"],
                nodes_falsenodeids=0 if is_leaf else node["false"]["number"],
                nodes_modes="LEAF" if is_leaf else f"BRANCH_{node['mode']}",
                nodes_missing_value_tracks_true=int(node.get("missing", False)),
            )
            for score, weight in node.get("scores", {}).items():
                add(
                    **{
                        f"{prefix}_treeids": number,
                        f"{prefix}_nodeids": node["number"],
                        f"{prefix}_ids": score,
                        f"{prefix}_weights": weight,
                    }
                )
    return found


def leaves_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in numbered(tree) if "mode" not in node]


def model_of(
    op_type: str,
    attributes: dict[str, Any],
    dtype: Any,
    outputs: dict[str, int],
    version: int = 3,
) -> bytes:
    node = helper.make_node(
        op_type, ["x"], list(outputs), name="n", domain="ai.onnx.ml", **attributes
    )
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", code, ["n", N_FEATURES])],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()


def rows_of(rng: np.random.Generator, n: int, dtype: Any) -> np.ndarray:
    kind = np.dtype(dtype).kind
    if kind == "i":
        return rng.integers(-3, 4, (n, N_FEATURES)).astype(dtype)
    return rng.choice([*VALUES, np.nan, 0.7], (n, N_FEATURES)).astype(dtype)


FLOAT = {"y": TensorProto.FLOAT}
CLASSES = {"label": TensorProto.INT64, "scores": TensorProto.FLOAT}
N_ROWS = st.sampled_from([0, 1, 2, 3, 15, 16, 17, 40, 300])
AGGREGATES = {
    "SUM": np.sum,
    "AVERAGE": np.mean,
    "MIN": np.min,
    "MAX": np.max,
}


def totals(
    trees: list[dict[str, Any]], x: np.ndarray, n_scores: int, aggregate: str
) -> np.ndarray:
    """Scores of each row before base values; a score that nothing is added to is 0."""
    found = np.zeros((len(x), n_scores))
    for i, row in enumerate(x):
        for score in range(n_scores):
            reached = [walk(tree, row)["scores"] for tree in trees]
            values = [leaf[score] for leaf in reached if score in leaf]
            if not values:
                continue
            found[i, score] = AGGREGATES[aggregate](values)
            if aggregate == "AVERAGE":  # over the trees, not over what is there
                found[i, score] = np.sum(values) / len(trees)
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=N_ROWS,
    n_targets=st.integers(1, 3),
    layout=st.sampled_from(["one", "all", "some"]),
    aggregate=st.sampled_from(list(AGGREGATES)),
    dtype=st.sampled_from([np.float32, np.float64, np.int32, np.int64]),
    threads=st.sampled_from([1, 2]),
)
@settings(max_examples=120, deadline=None)
def test_regressors_sum_the_leaves_that_rows_reach(
    seed: int,
    n_rows: int,
    n_targets: int,
    layout: str,
    aggregate: str,
    dtype: Any,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    trees = [
        grow(rng, int(rng.integers(0, 8)), MODES) for _ in range(rng.integers(1, 7))
    ]
    for tree in trees:
        its = int(rng.integers(n_targets))
        for leaf in leaves_of(tree):
            which = {
                "one": [its],
                "all": range(n_targets),
                "some": np.flatnonzero(rng.random(n_targets) < 0.6).tolist(),
            }[layout]
            leaf["scores"] = {k: float(rng.integers(-8, 9)) / 4 for k in which}
    attributes = attributes_of(trees, "target")
    if not attributes.get("target_weights"):
        return
    base = rng.integers(-2, 3, n_targets) / 2.0
    attributes |= {
        "n_targets": n_targets,
        "base_values": base.tolist(),
        "aggregate_function": aggregate,
    }
    content = model_of("TreeEnsembleRegressor", attributes, dtype, FLOAT)
    model = trimtab.load_model(content, fallback=False, threads=threads)
    x = rows_of(rng, n_rows, dtype)
    expected = totals(trees, x, n_targets, aggregate) + base
    found = model(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, 1e-6, 1e-6)


@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 4), n_rows=N_ROWS)
@settings(max_examples=60, deadline=None)
def test_classifiers_choose_the_largest_score(
    seed: int, n_classes: int, n_rows: int
) -> None:
    rng = np.random.default_rng(seed)
    trees = [grow(rng, int(rng.integers(1, 7)), MODES) for _ in range(4)]
    for tree in trees:
        for leaf in leaves_of(tree):
            leaf["scores"] = dict(enumerate(rng.dirichlet(np.ones(n_classes))))
    labels = rng.permutation(100)[:n_classes] - 50
    attributes = {
        **attributes_of(trees, "class"),
        "classlabels_int64s": labels.tolist(),
    }
    content = model_of("TreeEnsembleClassifier", attributes, np.float32, CLASSES)
    x = rows_of(rng, n_rows, np.float32)
    label, scores = trimtab.load_model(content, fallback=False)(x)
    expected = totals(trees, x, n_classes, "SUM")
    np.testing.assert_allclose(scores, expected, 1e-6, 1e-6)
    np.testing.assert_array_equal(label, labels[expected.argmax(1)])


POSTS = st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])


@given(
    seed=st.integers(0, 2**32 - 1),
    post=POSTS,
    is_positive=st.booleans(),
    number=st.integers(0, 1),
    with_base=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_one_score_for_two_classes_is_what_onnxruntime_gives(
    seed: int, post: str, is_positive: bool, number: int, with_base: bool
) -> None:
    rng = np.random.default_rng(seed)
    trees = [grow(rng, 4, ["LEQ"]) for _ in range(3)]
    for tree in trees:
        for leaf in leaves_of(tree):
            weight = rng.random() if is_positive else rng.normal()
            leaf["scores"] = {number: float(weight)}
    attributes = {
        **attributes_of(trees, "class"),
        "classlabels_int64s": [7, 3],
        "post_transform": post,
    }
    if with_base and number == 0:  # of the second class onnxruntime drops it
        attributes["base_values"] = [0.25]
    content = model_of("TreeEnsembleClassifier", attributes, np.float32, CLASSES)
    x = rng.normal(size=(33, N_FEATURES)).astype(np.float32)
    label, scores = trimtab.load_model(content, fallback=False)(x)
    expected = ort.InferenceSession(content).run(None, {"x": x})
    np.testing.assert_array_equal(label, expected[0])
    np.testing.assert_allclose(scores, expected[1], 1e-5, 1e-6)


@pytest.mark.parametrize("is_wide", [False, True])
def test_doubles_are_compared_as_doubles(is_wide: bool) -> None:
    dtype = np.float64 if is_wide else np.float32
    tree = {
        "mode": "LEQ",
        "feature": 1,
        "value": 0.1,
        "missing": False,
        "true": {"scores": {0: 1.0}},
        "false": {"scores": {0: 2.0}},
    }
    attributes = {**attributes_of([tree], "target"), "n_targets": 1}
    values = np.array(attributes.pop("nodes_values"), np.float64)
    attributes["nodes_values_as_tensor"] = numpy_helper.from_array(values)
    content = model_of("TreeEnsembleRegressor", attributes, dtype, FLOAT)
    x = np.zeros((3, N_FEATURES), dtype)
    x[:, 1] = [0.1, np.nextafter(dtype(0.1), dtype(-1)), np.nextafter(dtype(0.1), 1)]
    expected = np.where(x[:, 1].astype(np.float64) <= 0.1, 1.0, 2.0)
    found = trimtab.load_model(content, fallback=False)(x)
    np.testing.assert_array_equal(found[:, 0], expected)


def test_probit_is_the_quantile_of_the_normal_distribution() -> None:
    from scipy.special import ndtri

    shares = np.array([1e-6, 0.01, 0.3, 0.5, 0.8, 0.99])
    tree = {"scores": dict(enumerate(shares.tolist()))}
    attributes = {
        **attributes_of([tree], "target"),
        "n_targets": len(shares),
        "post_transform": "PROBIT",
    }
    content = model_of("TreeEnsembleRegressor", attributes, np.float32, FLOAT)
    found = trimtab.load_model(content)(np.zeros((1, N_FEATURES), np.float32))
    np.testing.assert_allclose(found[0], ndtri(np.float32(shares)), 1e-6, 1e-6)


# ---- TreeEnsemble --------------------------------------------------------------------


def attributes_v5(trees: list[dict[str, Any]], dtype: Any) -> dict[str, Any]:
    modes = [*MODES, "MEMBER"]
    inner: list[dict[str, Any]] = []
    leaves: list[dict[str, Any]] = []
    roots, members = [], []
    for tree in trees:
        roots.append(len(inner))
        for node in numbered(tree):
            group = inner if "mode" in node else leaves
            node["place"] = len(group)
            group.append(node)
    for node in inner:
        if node["mode"] == "MEMBER":
            members += [*node["items"], np.nan]

    def tensor(name: str, values: Any, kind: Any) -> Any:
        return numpy_helper.from_array(np.array(values, kind), name)

    more = {"membership_values": tensor("m", members, dtype)} if members else {}
    return {
        **more,
        "tree_roots": roots,
        "nodes_featureids": [node["feature"] for node in inner],
        "nodes_modes": tensor("a", [modes.index(n["mode"]) for n in inner], np.uint8),
        "nodes_splits": tensor("b", [node["value"] for node in inner], dtype),
        "nodes_truenodeids": [node["true"]["place"] for node in inner],
        "nodes_falsenodeids": [node["false"]["place"] for node in inner],
        "nodes_trueleafs": [int("mode" not in node["true"]) for node in inner],
        "nodes_falseleafs": [int("mode" not in node["false"]) for node in inner],
        "nodes_missing_value_tracks_true": [int(node["missing"]) for node in inner],
        "leaf_targetids": [next(iter(leaf["scores"])) for leaf in leaves],
        "leaf_weights": tensor(
            "c", [next(iter(leaf["scores"].values())) for leaf in leaves], dtype
        ),
    }


@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64, np.float16]),
    aggregate=st.integers(0, 3),
    n_rows=N_ROWS,
)
@settings(max_examples=80, deadline=None)
def test_tree_ensembles_of_version_5_take_sets(
    seed: int, dtype: Any, aggregate: int, n_rows: int
) -> None:
    rng = np.random.default_rng(seed)
    trees = []
    while len(trees) < 3:
        tree = grow(rng, 5, [*MODES, "MEMBER"])
        if "mode" in tree:
            trees.append(tree)
    for tree in trees:
        for leaf in leaves_of(tree):
            leaf["scores"] = {
                int(rng.integers(2)): float(rng.integers(-8, 9)) / 4,
            }
    attributes = {
        **attributes_v5(trees, dtype),
        "n_targets": 2,
        "aggregate_function": aggregate,
    }
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    content = model_of("TreeEnsemble", attributes, dtype, {"y": code}, version=5)
    x = rows_of(rng, n_rows, dtype)
    if dtype == np.float16:  # what the thresholds are in the file
        for tree in trees:
            for node in numbered(tree):
                if "mode" in node:
                    node["value"] = float(np.float16(node["value"]))
                    node["items"] = [float(np.float16(v)) for v in node["items"]]
    name = ["AVERAGE", "SUM", "MIN", "MAX"][aggregate]
    found = trimtab.load_model(content, fallback=False)(x)
    assert found.dtype == dtype
    expected = totals(trees, x.astype(np.float64), 2, name)
    tolerance = 2e-3 if dtype == np.float16 else 1e-6
    np.testing.assert_allclose(found, expected, tolerance, tolerance)
