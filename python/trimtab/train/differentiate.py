"""Reverse-mode differentiation as a rewrite: a graph becomes one that gives gradients.

The result is an ordinary graph: the engine folds, fuses and plans it like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.graph import Model, Node, Value
from trimtab.optimize.opset import OPSET, raise_opset
from trimtab.train.batch_norm import emit_batch_norms
from trimtab.train.compose import compose_gelu
from trimtab.train.emitter import Emitter, Tensor
from trimtab.train.gradients import GRADIENTS
from trimtab.train.losses import Loss, loss_from
from trimtab.train.site import Site
from trimtab.train.spell_out import spell_out

__all__ = ["attach_loss", "differentiate"]

# The opset whose words the rules speak, and operators to which it gave other defaults.
_EMITTED = 18
_CHANGED = ("RoiAlign",)

_FLOATS = ("float32", "float64")


def differentiate(
    model: Model,
    loss: str | Loss,
    wrt: Sequence[str],
    *,
    output: str | None = None,
    labels: str = "labels",
    training: bool = True,
) -> Model:
    """Rewrite a graph into one that computes a loss and its gradients.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.
    loss : str or Loss
        Key of `trimtab.train.losses.LOSSES`, a loss, or the name of a scalar that the
        graph computes.
    wrt : sequence of str
        Constants of the graph, which become inputs, or inputs.
    output : str, optional
        Which output the loss judges; the first by default.
    labels : str
        Name of the input of labels, which is added behind those of the model.
    training : bool
        Does a BatchNormalization whose scale or shift is in `wrt` use the statistics
        of the batch? The given ones if not.

    Returns
    -------
    gradients : trimtab.graph.Model
        Inputs: those of the model, the labels, the constants of `wrt`. Outputs: the
        loss, then the gradient of each of `wrt`, in their order and shapes, then
        ``batch/<name>`` for each running statistic that this batch speaks of.

    Raises
    ------
    UnsupportedOpError
        Operators between `wrt` and the loss have no gradient; all are named.
    ModelFormatError
        There is no tensor of a name that was given, or it is not of floats.

    Examples
    --------
    >>> import numpy as np
    >>> from trimtab.graph import Constant, Graph
    >>> graph = Graph("g", [Value("x", "float32", ("n", 2))], [Value("y")])
    >>> graph.nodes.append(Node("MatMul", ["x", "w"], ["y"]))
    >>> graph.constants["w"] = Constant.of(np.ones((2, 1), np.float32))
    >>> differentiate(Model(graph, {"": 17}), "mse", ["w"])
    Model('g': x, labels, w -> loss, gradient/w, 32 nodes)
    """
    model = _prepared(model, wrt)
    n_own = len(model.graph.inputs)
    dtype = _become_inputs(model, wrt)
    emitter = Emitter(model, dtype)
    statistics = emit_batch_norms(emitter, wrt) if training else {}
    spell_out(emitter, _depending(model.graph.nodes, wrt))
    target = _target(emitter, loss, output, labels, n_own)
    gradients = _walk_back(emitter, target, wrt)
    outputs = [Value(target.name, dtype, ())]
    for name in wrt:
        found = gradients.get(name)
        if found is None:
            raise ModelFormatError(
                f"the loss does not depend on {name!r}: leave it out of wrt"
            )
        named = emitter.unique(f"gradient/{name}")
        model.graph.nodes.append(Node("Identity", [found.name], [named], named))
        shape = next(v.shape for v in model.graph.inputs if v.name == name)
        outputs.append(Value(named, dtype, shape))
    for name, made in statistics.items():
        named = emitter.unique(f"batch/{name}")
        model.graph.nodes.append(Node("Identity", [made.name], [named], named))
        outputs.append(Value(named, dtype))
    model.graph.outputs[:] = outputs
    return model


def attach_loss(
    model: Model,
    loss: str | Loss,
    weights: Sequence[str],
    *,
    output: str | None = None,
    labels: str = "labels",
) -> Model:
    """Rewrite a graph into one that computes a loss, and nothing else.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.
    loss : str or Loss
    weights : sequence of str
        Constants that become inputs.
    output : str, optional
    labels : str

    Returns
    -------
    evaluation : trimtab.graph.Model
        Inputs as those of `differentiate`, one output.

    Examples
    --------
    >>> attach_loss(model, "mse", ["w"])                   # doctest: +SKIP
    Model('g': x, labels, w -> loss, 4 nodes)
    """
    model = _prepared(model, weights)
    n_own = len(model.graph.inputs)
    dtype = _become_inputs(model, weights)
    target = _target(Emitter(model, dtype), loss, output, labels, n_own)
    model.graph.outputs[:] = [Value(target.name, dtype, ())]
    return model


def _prepared(model: Model, wrt: Sequence[str]) -> Model:
    if not wrt or len(set(wrt)) != len(wrt):
        raise ModelFormatError("wrt must name at least one tensor, and each once")
    model = raise_opset(model.copy())
    version = model.opsets.get("", OPSET)
    n_moved = sum(node.op_type in _CHANGED for node in model.graph.nodes)
    if version < OPSET or (version < _EMITTED and n_moved):
        raise UnsupportedOpError(
            f"a graph of opset {version} cannot be differentiated: it holds "
            f"operators whose meaning has changed since; export it again with opset "
            f"{_EMITTED} or later"
        )
    # What these versions changed, the engine reads from the nodes themselves.
    model.opsets[""] = max(version, _EMITTED)
    model.opsets.setdefault("trimtab", 1)
    compose_gelu(model)
    return model


def _become_inputs(model: Model, wrt: Sequence[str]) -> str:
    """Turn the constants of wrt into inputs behind the others; gives their dtype."""
    graph = model.graph
    inputs = {value.name: value for value in graph.inputs}
    dtypes: set[str | None] = set()
    for name in wrt:
        constant = graph.constants.pop(name, None)
        if constant is not None:
            inputs[name] = Value(name, constant.dtype, constant.shape)
            graph.inputs.append(inputs[name])
        if name not in inputs:
            raise ModelFormatError(f"there is no constant or input {name!r}")
        dtypes.add(inputs[name].dtype)
    if len(dtypes) != 1 or not dtypes <= set(_FLOATS):
        found = ", ".join(sorted(map(str, dtypes)))
        raise ModelFormatError(
            f"wrt is of {found}; expected one dtype for all: float32 or float64"
        )
    return str(dtypes.pop())


def _target(
    emitter: Emitter, loss: str | Loss, output: str | None, labels: str, at: int
) -> Tensor:
    """Emit the loss; labels become input number `at`."""
    graph = emitter.model.graph
    computed = {name for node in graph.nodes for name in node.outputs}
    if isinstance(loss, str) and loss in computed:
        return emitter.tensor(loss)
    chosen = loss_from(loss)
    by_name = {value.name: value for value in graph.outputs}
    judged = output if output is not None else graph.outputs[0].name
    if judged not in by_name:
        raise ModelFormatError(
            f"there is no output {judged!r}; the model has {', '.join(by_name)}"
        )
    value = chosen.label_value(emitter.unique(labels), by_name[judged], emitter.dtype)
    graph.inputs.insert(at, value)
    made = chosen.emit(emitter, emitter.tensor(judged), emitter.tensor(value.name))
    name = emitter.unique("loss")
    graph.nodes.append(Node("Identity", [made.name], [name], name))
    return emitter.tensor(name)


def _rule_name(node: Node) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _depending(nodes: Sequence[Node], wrt: Sequence[str]) -> set[str]:
    """Tensors that depend on those of wrt."""
    found = set(wrt)
    for node in nodes:
        reads = [
            *node.inputs,
            *(name for body in node.bodies for name in body.captures),
        ]
        if not found.isdisjoint(reads):
            found.update(name for name in node.outputs if name)
    return found


def _on_the_way(nodes: Sequence[Node], target: str, wanted: set[str]) -> list[Node]:
    """Nodes between wrt and the loss, the last first."""
    reached, found = {target}, []
    for node in reversed(nodes):
        if reached.isdisjoint(node.outputs) or wanted.isdisjoint(node.outputs):
            continue
        found.append(node)
        reached.update(node.inputs)
        reached.update(name for body in node.bodies for name in body.captures)
    return found


def _refuse_unknown(nodes: Sequence[Node]) -> None:
    unknown = [node for node in nodes if _rule_name(node) not in GRADIENTS]
    if not unknown:
        return
    named = ", ".join(
        dict.fromkeys(f"{_rule_name(n)} {(n.name or n.outputs[0])!r}" for n in unknown)
    )
    raise UnsupportedOpError(
        f"no gradient is known for: {named}. Learn only weights behind them "
        f"(the argument wrt), or train in the framework the model came from"
    )


def _walk_back(
    emitter: Emitter, target: Tensor, wrt: Sequence[str]
) -> dict[str, Tensor]:
    graph = emitter.model.graph
    forward = list(graph.nodes)
    wanted = _depending(forward, wrt)
    way = _on_the_way(forward, target.name, wanted)
    _refuse_unknown(way)
    shapes: dict[str, tuple[Any, ...]] = {
        value.name: value.shape for value in graph.inputs if value.shape is not None
    }
    shapes.update({name: c.shape for name, c in graph.constants.items()})
    terms: dict[str, list[Tensor]] = {
        target.name: [emitter.expand_as(emitter.number(1.0), target)]
    }
    for node in way:
        gradients = [_total(emitter, terms, name) for name in node.outputs]
        if all(g is None for g in gradients):
            continue
        site = Site(emitter, node, gradients, wanted, shapes)
        for name, g in zip(
            node.inputs, GRADIENTS[_rule_name(node)](site), strict=False
        ):
            if g is not None and name in wanted:
                terms.setdefault(name, []).append(g)
    return {name: g for name in wrt if (g := _total(emitter, terms, name)) is not None}


def _total(
    emitter: Emitter, terms: dict[str, list[Tensor]], name: str
) -> Tensor | None:
    """Add up what all readers of a tensor give it."""
    listed = terms.get(name)
    if not name or not listed:
        return None
    if len(listed) > 1:
        terms[name] = listed = [emitter.emit("Sum", *listed)]
    return listed[0]
