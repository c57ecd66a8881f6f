"""Ensembles that no converter writes: refused, or walked all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.ops.test_tree_ensemble import FLOAT, N_FEATURES, attributes_of, model_of

import trimtab
from trimtab import ModelFormatError, TrimtabError


def stump() -> dict[str, Any]:
    tree = {
        "mode": "LEQ",
        "feature": 0,
        "value": 0.0,
        "missing": False,
        "true": {"scores": {0: 1.0}},
        "false": {"scores": {0: 2.0}},
    }
    return {**attributes_of([tree], "target"), "n_targets": 1}


HOSTILE = {
    "a child out of range": {"nodes_truenodeids": [9, 0, 0]},
    "a negative child": {"nodes_falsenodeids": [-1, 0, 0]},
    "a cycle": {"nodes_truenodeids": [0, 0, 0]},
    "a node twice": {"nodes_nodeids": [0, 1, 1]},
    "fewer values": {"nodes_values": [0.0]},
    "more modes": {"nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]},
    "an unknown mode": {"nodes_modes": ["BRANCH_MEMBER", "LEAF", "LEAF"]},
    "modes that are numbers": {"nodes_modes": [1, 2, 3]},
    "a negative feature": {"nodes_featureids": [-1, 0, 0]},
    "a huge feature": {"nodes_featureids": [2**62, 0, 0]},
    "a weight for an inner node": {"target_nodeids": [0, 2]},
    "a weight for no node": {"target_nodeids": [1, 7]},
    "a weight for another tree": {"target_treeids": [0, 5]},
    "a score out of range": {"target_ids": [0, 5]},
    "a negative score": {"target_ids": [0, -1]},
    "fewer weights": {"target_weights": [1.0]},
    "no targets": {"n_targets": 0},
    "targets without end": {"n_targets": 2**62},
    "base values": {"base_values": [1.0, 2.0]},
    "an unknown aggregate": {"aggregate_function": "MEDIAN"},
    "an unknown transform": {"post_transform": "TANH"},
    "other missing": {"nodes_missing_value_tracks_true": [1]},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_ensembles_that_are_no_trees_are_refused_when_loaded(
    change: dict[str, Any],
) -> None:
    content = model_of(
        "TreeEnsembleRegressor", {**stump(), **change}, np.float32, FLOAT
    )
    with pytest.raises(ModelFormatError, match="TreeEnsembleRegressor 'n'"):
        trimtab.load_model(content, fallback=False)


def test_a_feature_that_the_rows_do_not_have_is_refused() -> None:
    attributes = {**stump(), "nodes_featureids": [N_FEATURES, 0, 0]}
    content = model_of("TreeEnsembleRegressor", attributes, np.float32, FLOAT)
    with pytest.raises(TrimtabError, match="compare feature 5, the input has 5"):
        trimtab.load_model(content)(np.zeros((2, N_FEATURES), np.float32))


def test_nodes_that_nothing_reaches_do_no_harm() -> None:
    attributes = stump()
    for key, item in (
        ("nodes_treeids", 0),
        ("nodes_nodeids", 5),
        ("nodes_featureids", 0),
        ("nodes_values", 0.0),
        ("nodes_truenodeids", 5),
        ("nodes_falsenodeids", 5),
        ("nodes_modes", "BRANCH_LEQ"),
        ("nodes_missing_value_tracks_true", 0),
    ):
        attributes[key] = [*attributes[key], item]
    content = model_of("TreeEnsembleRegressor", attributes, np.float32, FLOAT)
    x = np.array([[-1.0] * N_FEATURES, [1.0] * N_FEATURES], np.float32)
    found = trimtab.load_model(content, fallback=False)(x)
    np.testing.assert_array_equal(found, [[1.0], [2.0]])


def test_a_tree_as_deep_as_it_has_nodes_is_walked() -> None:
    depth = 20_000
    n = 2 * depth + 1
    inner = range(depth)
    attributes = {
        "nodes_treeids": [0] * n,
        "nodes_nodeids": list(range(n)),
        "nodes_featureids": [0] * n,
        "nodes_values": [float(i) for i in inner] + [0.0] * (depth + 1),
        "nodes_truenodeids": [depth + i for i in inner] + [0] * (depth + 1),
        "nodes_falsenodeids": [i + 1 if i + 1 < depth else 2 * depth for i in inner]
        + [0] * (depth + 1),
        "nodes_modes": ["BRANCH_LEQ"] * depth + ["LEAF"] * (depth + 1),
        "target_treeids": [0] * (depth + 1),
        "target_nodeids": list(range(depth, n)),
        "target_ids": [0] * (depth + 1),
        "target_weights": [float(i) for i in range(depth + 1)],
        "n_targets": 1,
    }
    content = model_of("TreeEnsembleRegressor", attributes, np.float32, FLOAT)
    model = trimtab.load_model(content, fallback=False)
    x = np.zeros((20, N_FEATURES), np.float32)
    x[:, 0] = np.linspace(-5, depth + 5, 20).round()
    expected = np.clip(x[:, :1], 0, depth)
    np.testing.assert_array_equal(model(x), expected)
    np.testing.assert_array_equal(model(x[7:8]), expected[7:8])


def test_plans_of_several_shapes_share_one_forest() -> None:
    tree = stump()
    content = model_of("TreeEnsembleRegressor", tree, np.float32, FLOAT)
    model = trimtab.load_model(content, fallback=False)
    for n in (1, 5, 40):
        x = np.linspace(-1, 1, n * N_FEATURES, dtype=np.float32).reshape(n, N_FEATURES)
        np.testing.assert_array_equal(model(x)[:, 0], np.where(x[:, 0] <= 0, 1, 2))
