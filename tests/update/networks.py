"""Small networks that were really trained, and data that have shifted."""

import functools

import numpy as np
from sklearn.datasets import load_digits

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.train import Adam, Trainer


@functools.cache
def digits():
    """Digits as (n, 64) in [0, 1], shuffled."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return (x[order] / 16).astype(np.float32), y[order]


def shifted(x, seed=0):
    """Mirrored, with less contrast and noise."""
    rng = np.random.default_rng(seed)
    mirrored = x.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
    noisy = 0.2 + 0.6 * mirrored + 0.1 * rng.standard_normal(x.shape)
    return noisy.astype(np.float32)


def _mlp(n_hidden=48, n_outputs=10):
    rng = np.random.default_rng(1)
    nodes = [
        Node("Gemm", ["x", "w1", "b1"], ["h0"]),
        Node("Relu", ["h0"], ["h"]),
        Node("Gemm", ["h", "w2", "b2"], ["z"]),
    ]
    constants = {
        "w1": rng.standard_normal((64, n_hidden)) / 8,
        "b1": np.zeros(n_hidden),
        "w2": rng.standard_normal((n_hidden, n_outputs)) / 7,
        "b2": np.zeros(n_outputs),
    }
    graph = Graph(
        "digits",
        [Value("x", "float32", ("n", 64))],
        [Value("z", "float32", ("n", n_outputs))],
        nodes,
        {name: Constant.of(v.astype(np.float32)) for name, v in constants.items()},
    )
    return Model(graph, {"": 18})


@functools.cache
def _trained():
    x, y = digits()
    trainer = Trainer(_mlp(), "cross_entropy", optimizer=Adam(3e-3), threads=1)
    trainer.fit(x[:800], y[:800], epochs=25, batch_size=32, seed=0)
    return trainer.model()


def digits_graph(end="softmax"):
    """The trained network, as logits or with a softmax."""
    graph = _trained().copy()
    if end == "softmax":
        graph.graph.nodes.append(Node("Softmax", ["z"], ["y"], attributes={"axis": -1}))
        graph.graph.outputs[0] = Value("y", "float32", ("n", 10))
    return graph


def digits_model(end="softmax"):
    return runnable(digits_graph(end), threads=1)


def accuracy(model, x, y):
    return float((model(x).argmax(1) == y).mean())
