"""LoRA as a rewrite: it answers as before, and is merged exactly."""

from __future__ import annotations

import numpy as np
import pytest
from tests.update.learning import N_FEATURES, network, rows

from trimtab.errors import InputError
from trimtab.graph import Constant, Node
from trimtab.optimize.runnable import runnable
from trimtab.update.low_rank import add_low_rank, matrices
from trimtab.update.scope import scope_of

X = rows(0, 20).inputs["x"]


def test_before_learning_it_answers_bit_for_bit_as_the_model() -> None:
    graph = network()
    low = add_low_rank(graph, matrices(graph), rank=3)
    assert np.array_equal(runnable(low.graph)(X), runnable(graph)(X))
    assert low.names == [n for pair in low.factors.values() for n in pair]


def test_merged_weights_are_the_sum_and_answer_as_the_factors_do() -> None:
    graph = network()
    low = add_low_rank(graph, ["w1", "w2"], rank=3, seed=1)
    learned = low.graph.copy()
    rng = np.random.default_rng(0)
    for name in low.names:
        shape = learned.graph.constants[name].shape
        value = rng.normal(size=shape).astype(np.float32)
        learned.graph.constants[name] = Constant.of(value)
    merged = low.merged(graph, learned)
    for name, (b, a) in low.factors.items():
        parts = [learned.graph.constants[n].numpy().astype(float) for n in (name, b, a)]
        found = merged.graph.constants[name].numpy()
        np.testing.assert_allclose(found, parts[0] + parts[1] @ parts[2], atol=1e-5)
    # float32 sums in another order
    np.testing.assert_allclose(
        runnable(merged)(X), runnable(learned)(X), rtol=1e-4, atol=1e-4
    )
    assert len(merged.graph.nodes) == len(graph.graph.nodes)


def test_a_matrix_that_two_nodes_read_moves_for_both() -> None:
    graph = network()
    square = np.eye(N_FEATURES, dtype=np.float32)
    graph.graph.constants["s"] = Constant.of(square)
    graph.graph.nodes[:0] = [
        Node("MatMul", ["x", "s"], ["x1"]),
        Node("MatMul", ["x1", "s"], ["x2"]),
    ]
    graph.graph.nodes[2].inputs[0] = "x2"
    low = add_low_rank(graph, ["s"], rank=2)
    b = low.factors["s"][0]
    low.graph.graph.constants[b] = Constant.of(np.ones((N_FEATURES, 2), np.float32))
    merged = low.merged(graph, low.graph)
    np.testing.assert_allclose(runnable(merged)(X), runnable(low.graph)(X), rtol=1e-4)


def test_names_of_ours_do_not_collide() -> None:
    graph = network()
    graph.graph.constants["w1/low_rank_b"] = Constant.of(np.ones(1, np.float32))
    low = add_low_rank(graph, ["w1"], rank=2)
    assert low.factors["w1"][0] == "w1/low_rank_b_1"


@pytest.mark.parametrize(
    ("names", "rank", "message"), [(["b1"], 2, "b1"), (["w1"], 0, "rank must be")]
)
def test_what_is_no_matrix_is_refused(
    names: list[str], rank: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        add_low_rank(network(), names, rank=rank)


def test_scopes_learn_what_they_say() -> None:
    graph = network()
    assert set(scope_of(graph, "all").names) == {"w1", "b1", "w2", "b2"}
    assert scope_of(graph).name == "all"
    assert scope_of(graph, "low_rank").names[0].startswith("w1/")
    with pytest.raises(InputError, match="scope must be auto, all"):
        scope_of(graph, "some")
