"""Fine-tuning: new rows are learned, old ones are not forgotten, limits are kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.update.learning import (
    N_CLASSES,
    N_FEATURES,
    TASK,
    base,
    context_of,
    network,
    right,
    rows,
    trained,
)

from trimtab.errors import InputError, UnsupportedOpError
from trimtab.evaluate.task import Task
from trimtab.graph import Constant, Model, Node
from trimtab.optimize.runnable import runnable
from trimtab.update.context import LearnContext, Rows, answers
from trimtab.update.fine_tune import FineTune, learn

QUICK = FineTune(n_steps=150)
FIT, SELECT, OLD = rows(2, 80, is_new=True), rows(3, 30, is_new=True), rows(4, 300)
NEW_TEST, OLD_TEST = rows(5, 1000, is_new=True), rows(6, 1000)


@cache
def served() -> Model:
    return base()


def given(replay: Rows | None = OLD, **change: Any) -> LearnContext:
    return context_of(served(), FIT, SELECT, replay, **change)


def test_new_rows_are_learned_and_old_ones_kept() -> None:
    context = given()
    found = learn(context, QUICK)
    before = right(context.model, NEW_TEST), right(context.model, OLD_TEST)
    after = right(found.model, NEW_TEST), right(found.model, OLD_TEST)
    assert after[0] > before[0] + 0.15
    assert after[1] > before[1] - 0.02
    assert found.method == "fine_tune"
    assert found.detail["scope"] == "all"


def test_without_old_rows_it_learns_too() -> None:
    context = given(replay=None)
    found = learn(context, QUICK)
    assert right(found.model, NEW_TEST) > right(context.model, NEW_TEST) + 0.15
    assert found.detail["n_replayed"] == 0


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again = (learn(given(seed=3), FineTune(n_steps=40)) for _ in range(2))
    a, b = (found.model._graph_again().graph.constants for found in (first, again))
    assert all(np.array_equal(a[n].numpy(), b[n].numpy()) for n in a)


def test_the_last_scope_changes_only_the_last_layers_behind_a_cached_part() -> None:
    graph = served().copy()
    found = learn(given(), FineTune(scope="last", n_steps=40))
    learned = found.model._graph_again().graph.constants
    moved = {n for n, c in graph.graph.constants.items()
             if not np.array_equal(c.numpy(), learned[n].numpy())}  # fmt: skip
    assert moved <= {"w1", "b1", "w2", "b2"}
    assert "w2" in moved


def test_layers_behind_which_there_is_no_gradient_are_left_as_they_are() -> None:
    graph = served().copy()
    # a layer in front, and behind it an operator that has no gradient and adds nothing
    square, zero = np.eye(N_FEATURES, dtype=np.float32), np.zeros((), np.float32)
    graph.graph.constants.update({"w0": Constant.of(square), "zero": Constant.of(zero)})
    graph.graph.nodes[:0] = [
        Node("MatMul", ["x", "w0"], ["front"]),
        Node("ReduceProd", ["front"], ["peaks"], attributes={"axes": [1]}),
        Node("Mul", ["peaks", "zero"], ["nothing"]),
        Node("Add", ["front", "nothing"], ["x1"]),
    ]
    graph.graph.nodes[4].inputs[0] = "x1"
    found = learn(context_of(graph, FIT, SELECT, OLD), FineTune(n_steps=40))
    assert found.detail["scope"] == "last"
    assert found.detail["is_cached"]
    learned = found.model._graph_again().graph.constants
    assert np.array_equal(learned["w0"].numpy(), square)
    with pytest.raises(UnsupportedOpError, match="ReduceProd"):
        learn(context_of(graph, FIT, SELECT, OLD), FineTune(scope="all"))


def test_low_rank_moves_are_merged_and_of_low_rank() -> None:
    context = given()
    found = learn(context, FineTune(scope="low_rank", rank=2, n_steps=150))
    before, after = served().graph, found.model._graph_again().graph
    assert [n.op_type for n in after.nodes] == [n.op_type for n in before.nodes]
    for name in ("w1", "w2"):
        move = after.constants[name].numpy() - before.constants[name].numpy()
        values = np.linalg.svd(move.astype(np.float64), compute_uv=False)
        assert values[1] > 0
        # float32 rounds W + BA: what is left is noise of its last digit
        assert values[2] < 1e-5 * max(values[0], 1.0)
    assert right(found.model, NEW_TEST) > right(context.model, NEW_TEST) + 0.1


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax"])
def test_probabilities_are_learned_through_their_logits(end: str) -> None:
    graph = served().copy()
    graph.graph.nodes[-1].outputs[0] = "z"
    graph.graph.nodes.append(Node(end, ["z"], ["y"]))
    output = "probabilities" if end == "Softmax" else "logits"
    task = replace(TASK, output=output)
    found = learn(context_of(graph, FIT, SELECT, OLD, task=task), QUICK)
    plain = learn(given(), QUICK)
    np.testing.assert_allclose(
        answers(found.model, NEW_TEST).argmax(axis=1),
        answers(plain.model, NEW_TEST).argmax(axis=1),
    )


def test_one_yes_or_no_is_learned() -> None:
    task = Task("binary", "probabilities", "", classes=(0, 1), is_single=True)
    halves = [Rows(r.inputs, r.labels % 2) for r in (FIT, SELECT, OLD, NEW_TEST)]
    graph = network(end="Sigmoid", n_outputs=1)
    context = context_of(graph, *halves[:3], task=task)
    found = learn(context, FineTune(n_steps=400))
    answer = answers(found.model, halves[3])[:, 0] > 0.5
    assert (answer == halves[3].labels).mean() > 0.8


def test_numbers_are_learned() -> None:
    aims = [Rows(r.inputs, r.inputs["x"][:, :1] - 2.0) for r in (FIT, SELECT, OLD)]
    judged = Rows(NEW_TEST.inputs, NEW_TEST.inputs["x"][:, :1] - 2.0)
    graph = trained(
        network(n_outputs=1), "mse", OLD.inputs["x"], OLD.inputs["x"][:, :1]
    )
    task = Task("regression", "values", "")
    context = context_of(graph, *aims, task=task)
    found = learn(context, FineTune(n_steps=400))

    def error(model: Any) -> float:
        return float(((answers(model, judged) - judged.labels) ** 2).mean())

    assert error(found.model) < 0.3 * error(context.model)


def test_a_class_that_is_new_is_learned() -> None:
    wide = N_CLASSES + 1
    fit, select, judged = (rows(s, n, n_classes=wide) for s, n in
                           ((7, 150), (8, 50), (9, 1000)))  # fmt: skip
    context = context_of(served(), fit, select, OLD, n_new_classes=1)
    found = learn(context, QUICK)
    assert answers(found.model, judged).shape == (1000, wide)
    assert right(found.model, judged) > 0.85


def test_too_little_time_is_told_and_some_time_is_kept() -> None:
    with pytest.raises(InputError, match="s are left"):
        learn(given(seconds_left=lambda: 1e-6), QUICK)


def test_moves_that_forget_too_much_go_only_a_part_of_the_way() -> None:
    # labels of the new rows contradict all that is known: learning them forgets
    wrong = [
        Rows(r.inputs, (r.labels + 1) % N_CLASSES)
        for r in (rows(11, 300), rows(12, 60))
    ]
    context = context_of(served(), *wrong, OLD, forget=0.02)
    found = learn(context, FineTune(n_steps=150, share=0.9))
    assert found.detail["share_of_the_way"] < 1.0
    assert right(found.model, OLD_TEST) > right(context.model, OLD_TEST) - 0.15


def test_tasks_without_a_loss_are_refused() -> None:
    with pytest.raises(InputError, match="train_fn"):
        learn(given(task=Task("text", "values", "")), QUICK)


def test_a_model_without_weights_is_refused() -> None:
    graph = served().copy()
    graph.graph.nodes[:] = [Node("Identity", ["x"], ["y"])]
    with pytest.raises(InputError, match="no float weights"):
        learn(context_of(graph, FIT, SELECT, OLD), QUICK)


def test_nothing_of_the_champion_changes() -> None:
    context = given()
    before = {n: c.numpy().copy() for n, c in context.graph.graph.constants.items()}
    outputs = runnable(context.graph)(NEW_TEST.inputs["x"])
    learn(context, FineTune(n_steps=40))
    after = context.graph.graph.constants
    assert all(np.array_equal(before[n], after[n].numpy()) for n in before)
    assert np.array_equal(outputs, context.model(NEW_TEST.inputs["x"]))
