"""Small classifiers, rows that fit them, and children that misbehave."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.gates import Evidence, Rows

N_CLASSES, WIDTH = 4, 12


def net(
    weight: Any,
    *,
    name: str = "x",
    dims: tuple[Any, ...] = ("n", WIDTH),
    output: str = "p",
    n_unused: int = 0,
) -> bytes:
    """Gemm, ReLU (the embedding), Gemm, Softmax: the last one has `weight`.

    `n_unused` weights more are summed up and added to nothing that matters.
    """
    inner = np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)]).astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Gemm", [name, "inner"], ["h"], transB=1),
        node("Relu", ["h"], ["features"]),
        node("Gemm", ["features", "w"], ["z"]),
        node("Softmax", ["z"], [output], axis=-1),
    ]
    k = weight.shape[1]
    tensors = {"inner": inner, "w": np.asarray(weight, np.float32)}
    if n_unused:
        tensors["more"] = np.ones((2 * WIDTH, n_unused // (2 * WIDTH) + 1), np.float32)
        nodes[2:] = [
            node("MatMul", ["features", "more"], ["much"]),
            node("ReduceMin", ["much"], ["least"], axes=[-1], keepdims=1),
            node("Gemm", ["features", "w"], ["z1"]),
            node("Add", ["z1", "least"], ["z"]),  # a softmax does not mind
            node("Softmax", ["z"], [output], axis=-1),
        ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value(name, TensorProto.FLOAT, list(dims))],
        [value(output, TensorProto.FLOAT, [dims[0], k])],
        [numpy_helper.from_array(v, n) for n, v in tensors.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(
        graph, opset_imports=opset, ir_version=8
    ).SerializeToString()


def blobs(n: int, seed: int, *, n_classes: int = N_CLASSES) -> tuple[Any, Any]:
    """Rows around one centre for each class."""
    rng = np.random.default_rng(seed)
    centres = 2 * np.random.default_rng(99).standard_normal((8, WIDTH))
    y = rng.integers(0, n_classes, n)
    x = centres[y] + 0.6 * rng.standard_normal((n, WIDTH))
    return x.astype(np.float32), y


def head(x: Any, y: Any, n_classes: int = N_CLASSES) -> Any:
    """Ridge on the features, sharpened for the softmax."""
    features = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)
    targets = np.eye(n_classes)[y] - 1 / n_classes
    gram = features.T @ features + 0.1 * len(x) * np.eye(2 * WIDTH) / WIDTH
    return 12 * np.linalg.solve(gram, features.T @ targets)


def model(weight: Any, **how: Any) -> trimtab.Model:
    return trimtab.load_model(net(weight, **how))


def rows(pair: tuple[Any, Any]) -> Rows:
    return Rows({"x": pair[0]}, pair[1])


def evidence(**changes: Any) -> Evidence:
    """A champion and a candidate that are both good, and all the rows there are."""
    old, new = blobs(400, 0), blobs(400, 1)
    given: dict[str, Any] = {
        "champion": model(head(*old)),
        "candidate": model(head(*new)),
        "guard": rows(blobs(300, 2)),
        "reference": rows(blobs(400, 3)),
        "new": rows(new),
        "margin": 0.03,
        "forget": 0.03,
        "latency_factor": 20.0,  # nets of a microsecond, on a busy machine
    }
    return Evidence(**{**given, **changes})


# ---- what a process does instead of loading ------------------------------------------


def crash(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def hang(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    time.sleep(600)
    return {}


def eat(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    blocks = []
    while True:
        blocks.append(np.ones(1 << 24))


def leave(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    os._exit(0)


def lie(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Answer for the process, and not as expected."""
    Path(folder, os.pardir, "result.json").write_text('{"result": {"n_replayed": "?"}}')
    os._exit(0)
