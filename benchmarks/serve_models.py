"""Nets whose outputs say which version they are, for the benchmarks of serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

#: Columns of a request.
WIDTH = 64


def versioned(number: int, *, hidden: int = 256, n_layers: int = 3) -> bytes:
    """An ONNX net: y is some layers of x, ``who`` the number for every row.

    Every layer but the last is the same in all versions; the last one is scaled by the
    number, so that y divided by that of version 1 says it too.

    Parameters
    ----------
    number : int
    hidden, n_layers : int

    Returns
    -------
    content : bytes
    """
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = [WIDTH, *[hidden] * n_layers, 8]
    nodes, constants, name = [], [], "x"
    for i in range(len(sizes) - 1):
        weights = rng.standard_normal(sizes[i : i + 2]) / sizes[i] ** 0.5
        if i == len(sizes) - 2:
            weights = weights * number
        constants.append(numpy_helper.from_array(weights.astype("f4"), f"w{i}"))
        last = "y" if i == len(sizes) - 2 else f"h{i}"
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [last]))
        name = last
        if last != "y":
            nodes.append(helper.make_node("Relu", [last], [f"a{i}"]))
            name = f"a{i}"
    constants += [
        numpy_helper.from_array(np.array([1]), "axes"),
        numpy_helper.from_array(np.array([[0.0]], np.float32), "zero"),
        numpy_helper.from_array(np.array([[number]], np.float32), "number"),
    ]
    nodes += [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "number"], ["who"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "versioned",
        [value("x", TensorProto.FLOAT, ("n", WIDTH))],
        [
            value("y", TensorProto.FLOAT, ("n", 8)),
            value("who", TensorProto.FLOAT, ("n", 1)),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def filled_registry(folder: Path, n_versions: int) -> Any:
    """A registry with versions 1 to `n_versions` of "net"; the first is the champion.

    Parameters
    ----------
    folder : Path
    n_versions : int

    Returns
    -------
    registry : Registry
    """
    import trimtab

    registry = trimtab.Registry(folder)
    for number in range(1, n_versions + 1):
        model = trimtab.load_model(versioned(number), threads=1)
        path = folder.parent / f"{number}.safetensors"
        model.save(path, golden="random")
        registry.register("net", path)
    registry.promote("net", 1)
    return registry


def request(seed: int) -> np.ndarray:
    """One row."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((1, WIDTH)).astype(np.float32)
