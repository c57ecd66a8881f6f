"""Gradients of one operator: ours against central differences in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.train import differentiate

Array = np.ndarray

# A central difference of step h errs by h^2 f''' / 6 and by rounding / h.
STEP = 1e-5
TOLERANCE = 1e-6


def one_node(
    op_type: str,
    arrays: Sequence[Array | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    domain: str = "",
    opset: int = 18,
    n_outputs: int = 1,
) -> Model:
    """A model of one node whose inputs are the constants x0, x1, ..."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
    outputs = [f"y{i}" for i in range(n_outputs)]
    node = Node(op_type, names, outputs, "node", domain, dict(attributes or {}))
    constants = {
        name: Constant.of(a)
        for name, a in zip(names, arrays, strict=True)
        if a is not None
    }
    values = [Value(name) for name in outputs]
    return Model(Graph("g", [], values, [node], constants), {domain: 1, "": opset})


def weighted_sum(model: Model, weights: Sequence[Array]) -> Model:
    """Add a scalar "total": the sum of all outputs times fixed weights."""
    model = model.copy()
    graph, terms = model.graph, []
    for value, weight in zip(graph.outputs, weights, strict=True):
        name = value.name
        graph.constants[f"{name}/w"] = Constant.of(weight)
        graph.nodes.append(Node("Mul", [name, f"{name}/w"], [f"{name}/m"]))
        graph.nodes.append(
            Node("ReduceSum", [f"{name}/m"], [f"{name}/s"], attributes={"keepdims": 0})
        )
        terms.append(f"{name}/s")
    graph.nodes.append(Node("Sum", terms, ["total"]))
    graph.outputs[:] = [Value("total")]
    return model


def outputs_of(model: Model) -> list[Array]:
    """Run a model without inputs."""
    with runnable(model) as found:
        result = found()
    return list(result) if isinstance(result, tuple) else [result]


def gradients_of(model: Model, wrt: Sequence[str]) -> list[Array]:
    """Gradients of "total", by our rewrite."""
    values = [model.graph.constants[name].numpy() for name in wrt]
    with runnable(differentiate(model, "total", wrt, training=False)) as found:
        return list(found(*values))[1:]


def differences_of(model: Model, wrt: Sequence[str]) -> list[Array]:
    """Gradients of "total", by central differences."""
    model = model.copy()
    values = {name: model.graph.constants.pop(name).numpy().copy() for name in wrt}
    model.graph.inputs.extend(
        Value(name, v.dtype.name, v.shape) for name, v in values.items()
    )
    found = []
    with runnable(model) as run:
        for value in values.values():
            slope = np.empty(value.shape)
            for at in np.ndindex(value.shape):
                kept = float(value[at])
                value[at] = kept + STEP
                above = float(run(*values.values()))
                value[at] = kept - STEP
                slope[at] = (above - float(run(*values.values()))) / (2 * STEP)
                value[at] = kept
            found.append(slope)
    return found


def check_gradient(
    op_type: str,
    arrays: Sequence[Array | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    wrt: Sequence[int] | None = None,
    **options: Any,
) -> None:
    """Compare ours with central differences, for every float input by default."""
    model = one_node(op_type, arrays, attributes, **options)
    rng = np.random.default_rng(7)
    weights = [rng.normal(size=np.shape(y)) for y in outputs_of(model)]
    model = weighted_sum(model, weights)
    if wrt is None:
        wrt = [
            i for i, a in enumerate(arrays) if a is not None and a.dtype == np.float64
        ]
    names = [f"x{i}" for i in wrt]
    ours, truth = gradients_of(model, names), differences_of(model, names)
    for name, a, b in zip(names, ours, truth, strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale, err_msg=name)
