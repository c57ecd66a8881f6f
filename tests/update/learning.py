"""A small network, and two domains of rows for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trimtab.evaluate.task import Task
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update.context import LearnContext, Rows, answers

N_FEATURES, N_HIDDEN, N_CLASSES = 8, 24, 4
TASK = Task("multiclass", "logits", "clusters", classes=tuple(range(N_CLASSES)))

_RNG = np.random.default_rng(0)
CENTRES = 2.0 * _RNG.normal(size=(N_CLASSES + 1, N_FEATURES))


def rows(
    seed: int, n: int, *, is_new: bool = False, n_classes: int = N_CLASSES
) -> Rows:
    """Clusters, of which the new domain sees four features exchanged."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = CENTRES[y] + rng.normal(size=(n, N_FEATURES))
    if is_new:
        x[:, :4] = x[:, 3::-1] + 1.0
    return Rows({"x": x.astype(np.float32)}, y)


def network(*, end: str = "", n_outputs: int = N_CLASSES, seed: int = 1) -> Model:
    """Two dense layers with random weights, and an activation at the end."""
    rng = np.random.default_rng(seed)
    shapes = {
        "w1": (N_FEATURES, N_HIDDEN),
        "b1": (N_HIDDEN,),
        "w2": (n_outputs, N_HIDDEN),
        "b2": (n_outputs,),
    }
    constants = {
        name: Constant.of((rng.normal(size=shape) * 0.3).astype(np.float32))
        for name, shape in shapes.items()
    }
    last = "z" if end else "y"
    nodes = [
        Node("MatMul", ["x", "w1"], ["m"]),
        Node("Add", ["m", "b1"], ["a"]),
        Node("Relu", ["a"], ["h"]),
        Node("Gemm", ["h", "w2", "b2"], [last], attributes={"transB": 1}),
    ]
    if end:
        nodes.append(Node(end, ["z"], ["y"]))
    x = Value("x", "float32", ("n", N_FEATURES))
    y = Value("y", "float32", ("n", n_outputs))
    return Model(Graph("net", [x], [y], nodes, constants), {"": 18})


def trained(graph: Model, loss: Any, inputs: Any, labels: Any) -> Model:
    """Train it on the old domain."""
    from trimtab.train import Adam, Trainer

    trainer = Trainer(graph, loss, optimizer=Adam(0.01))
    trainer.fit(inputs, labels, epochs=30, batch_size=64)
    learned = trainer.model()
    trainer.close()
    return learned


def base(**options: Any) -> Model:
    """The network that serves: it knows the old domain."""
    old = rows(1, 600)
    return trained(network(**options), "cross_entropy", old.inputs["x"], old.labels)


def context_of(
    graph: Model, fit: Rows, select: Rows, replay: Rows | None, **change: Any
) -> LearnContext:
    """What a learner is given."""
    given = LearnContext(runnable(graph), graph, fit, select, replay, TASK)
    return replace(given, **change)


def right(model: Any, judged: Rows) -> float:
    """Share of rows whose class is answered."""
    found = answers(model, judged).argmax(axis=1)
    return float((found == judged.labels).mean())
