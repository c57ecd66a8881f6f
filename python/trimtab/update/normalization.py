"""The learner "normalization": BatchNormalization with statistics of today's rows.

Enters: rows, whose labels only choose how much they count. Leaves: a model whose
channels are centred and scaled for them. Statistics become (N old + n new) / (N + n),
one layer behind the other in a single run: each sees what the new ones in front of it
give.

References
----------
Schneider et al.: Improving robustness against common corruptions by covariate shift
adaptation, NeurIPS 2020.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from trimtab.errors import UnsupportedOpError
from trimtab.gates.rows import Rows
from trimtab.graph import Constant, Model, Node, Value
from trimtab.optimize.opset import raise_opset
from trimtab.optimize.runnable import runnable
from trimtab.train.batch_norm import per_channel
from trimtab.train.emitter import Emitter
from trimtab.types import Array
from trimtab.update.context import Candidate, LearnContext, answers
from trimtab.update.judge import errors_of

__all__ = ["batch_norms", "learn", "reestimated"]

# Rows that old statistics count as.
_COUNTS = (1024, 256, 64, 16)
# Rows that are run at once: statistics of a layer need all of them.
_N_ROWS = 256


def batch_norms(graph: Model) -> list[Node]:
    """List the BatchNormalization nodes whose statistics are constants.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    nodes : list of Node

    Examples
    --------
    >>> from trimtab.graph import Graph
    >>> batch_norms(Model(Graph("g"), {"": 18}))
    []
    """
    constants = graph.graph.constants
    return [
        node
        for node in graph.graph.nodes
        if node.op_type == "BatchNormalization"
        and not node.domain
        and all(name in constants for name in node.inputs[1:5])
    ]


def reestimated(graph: Model, inputs: Mapping[str, Array], count: float) -> Model:
    """Give the graph with statistics that rows have a part in.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    inputs : dict of str to ndarray
    count : float
        Rows that the old statistics count as; 0 forgets them.

    Returns
    -------
    graph : trimtab.graph.Model

    Raises
    ------
    UnsupportedOpError
        There is no BatchNormalization.

    Examples
    --------
    >>> reestimated(graph, {"x": rows}, count=64)          # doctest: +SKIP
    """
    if not batch_norms(graph):
        raise UnsupportedOpError(
            "normalization: the file holds no BatchNormalization. Exporters fold it "
            "into the convolutions in front; export the model again without folding "
            "(PyTorch: do_constant_folding=False, training=TrainingMode.PRESERVE)"
        )
    n = len(next(iter(inputs.values())))
    measuring, names = _measuring(graph, n / (n + count))
    with runnable(measuring) as model:
        wanted = {spec.name for spec in model.inputs}
        given = {name: x for name, x in inputs.items() if name in wanted}
        found = model.run(given)
    made = graph.copy()
    for name, output in names.items():
        dtype = made.graph.constants[name].numpy().dtype
        made.graph.constants[name] = Constant.of(found[output].astype(dtype))
    return made


def _measuring(graph: Model, share: float) -> tuple[Model, dict[str, str]]:
    """Rewrite the graph to use blended statistics, and to give them."""
    model = raise_opset(graph.copy())
    model.opsets[""] = max(model.opsets.get("", 13), 18)
    model.opsets.setdefault("trimtab", 1)
    chosen = {id(node) for node in batch_norms(model)}
    nodes, model.graph.nodes = model.graph.nodes, []
    emitter = Emitter(model)
    names: dict[str, str] = {}
    for node in nodes:
        if id(node) in chosen:
            names.update(_emit(emitter, node, share))
        else:
            model.graph.nodes.append(node)
    model.graph.outputs[:] = [Value(output) for output in names.values()]
    return model, names


def _emit(e: Emitter, node: Node, share: float) -> dict[str, str]:
    x, scale, shift, old_mean, old_variance = (e.tensor(n) for n in node.inputs[:5])
    column = per_channel(e, scale, x)
    n = e.emit("CastLike", e.emit("Div", e.emit("Size", x), e.emit("Size", column)), x)
    mean = e.sum_to(x, column) / n
    centred = x - mean
    variance = e.sum_to(centred * centred, column) / n
    m = e.reshape_as(mean, scale) * share + old_mean * (1.0 - share)
    v = e.reshape_as(variance, scale) * share + old_variance * (1.0 - share)
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    spread = e.emit("Sqrt", per_channel(e, v, x) + epsilon)
    y = (x - per_channel(e, m, x)) * (column / spread) + per_channel(e, shift, x)
    e.model.graph.nodes.append(Node("Identity", [y.name], [node.outputs[0]]))
    return {node.inputs[3]: m.name, node.inputs[4]: v.name}


# ---- the learner --------------------------------------------------------------------


def learn(context: LearnContext) -> Candidate:
    """Estimate the statistics of normalisations again.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    UnsupportedOpError
        The file holds no BatchNormalization.

    Examples
    --------
    >>> learn(context).detail["count"]                     # doctest: +SKIP
    64
    """
    begin = time.perf_counter()
    rows = context.fit
    order = np.random.default_rng(context.seed).permutation(len(rows))[:_N_ROWS]
    inputs = rows.take(order).inputs
    judges = [context.select if len(context.select) else rows]
    if context.replay is not None:
        judges.append(context.replay)
    known = [_errors(context, context.answers(judge), judge) for judge in judges]
    best: tuple[tuple[bool, float], int, Model] | None = None
    for count in _COUNTS:
        graph = reestimated(context.graph, inputs, count)
        model = context.build(graph)
        found = [_errors(context, answers(model, j, context.output), j) for j in judges]
        model.close()
        drop = found[1] - known[1] if len(judges) > 1 else 0.0
        is_kept = drop <= context.forget
        worth = (is_kept, -found[0] if is_kept else -drop)
        if best is None or worth > best[0]:
            best = (worth, count, graph)
        if context.seconds_left() <= 0:
            break
    assert best is not None
    detail = {"count": best[1], "n_rows": len(order), "is_kept": best[0][0]}
    seconds = time.perf_counter() - begin
    return Candidate(context.build(best[2]), "normalization", detail, seconds)


def _errors(context: LearnContext, outputs: Array, rows: Rows) -> float:
    return float(errors_of(context.task, outputs, rows.labels).mean())
