"""How long learning a last layer from new rows takes.

head        fitting it in closed form, features given: 11 penalties, exact leave-one-out
            for each, the temperature, weights and bias
statistics  the same with the sums of old rows in place of the rows
graph       writing the layer into the graph and loading the model
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update.head import find_head, with_head
from trimtab.update.head_ridge import fit_head
from trimtab.update.statistics import HeadStatistics

Problem = dict[str, Any]


def problem(n: int, d: int, k: int) -> Problem:
    """Features as a ReLU leaves them, an old layer, and labels that it half knows."""
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((n, d)), 0).astype(np.float32)
    weight = rng.standard_normal((d, k)) / np.sqrt(d)
    logits = features @ (weight + 0.7 * rng.standard_normal((d, k)) / np.sqrt(d))
    targets = np.eye(k)[logits.argmax(axis=1)]
    return {
        "features": features,
        "targets": targets,
        "weight": weight,
        "bias": np.zeros(k),
    }


def head(made: Problem) -> None:
    """Fit the layer."""
    fit_head(*made.values(), kind="softmax")


def statistics(made: Problem) -> None:
    """Fit the layer, old rows replayed from their sums."""
    fit_head(*made.values(), kind="softmax", old=_sums(made))


_SUMS: dict[int, HeadStatistics] = {}


def _sums(made: Problem) -> HeadStatistics:
    key = id(made["features"])
    if key not in _SUMS:
        targets = 2 * made["targets"] - 1
        _SUMS[key] = HeadStatistics.of(made["features"], targets)
    return _SUMS[key]


def graph(made: Problem) -> None:
    """Write the layer into a graph, and load it."""
    d, k = made["weight"].shape
    weight = made["weight"].astype(np.float32)
    layers = Graph(
        "head",
        [Value("x", "float32", ("n", d))],
        [Value("y", "float32", ("n", k))],
        [Node("MatMul", ["x", "w"], ["z"]), Node("Softmax", ["z"], ["y"])],
        {"w": Constant.of(weight)},
    )
    model = Model(layers, {"": 18})
    runnable(with_head(model, find_head(model), made["weight"] + 1, made["bias"]))


STAGES: dict[str, Callable[[Problem], None]] = {
    "head": head,
    "statistics": statistics,
    "graph": graph,
}


def timed(stage: Callable[[Problem], None], made: Problem, rounds: int) -> list[float]:
    """Seconds of each round; one before them warms up."""
    found = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        stage(made)
        found.append(time.perf_counter() - begin)
    return found[1:]


def measure(*, quick: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Time each part for 1,000 rows of 1,280 features, 10 classes.

    Parameters
    ----------
    quick : bool, default=False
        Few rounds.

    Returns
    -------
    entries : iterator of (str, dict)
    """
    made = problem(1000, 1280, 10)
    for name, stage in STAGES.items():
        seconds = timed(stage, made, 3 if quick else 15)
        yield name, {"median_s": float(np.median(seconds)), "fastest_s": min(seconds)}
