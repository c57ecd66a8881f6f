"""BatchNormalization while it learns: statistics of the batch instead of given ones."""

from __future__ import annotations

from collections.abc import Collection

from trimtab.graph import Constant, Model, Node
from trimtab.train.emitter import Emitter, Tensor

__all__ = ["emit_batch_norms", "learning_batch_norms", "with_own_constants"]


def with_own_constants(model: Model) -> Model:
    """Give each BatchNormalization constants of its own.

    Exporters merge constants that happen to be equal, such as the statistics of two
    layers that have seen nothing yet; what learns must not share them.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is not changed.

    Returns
    -------
    apart : trimtab.graph.Model

    Examples
    --------
    >>> with_own_constants(model)                          # doctest: +SKIP
    Model('net': x -> y, 12 nodes)
    """
    model = model.copy()
    graph = model.graph
    aliases = {n.outputs[0]: n for n in graph.nodes if n.op_type == "Identity"}
    used: set[str] = set()
    for node in graph.nodes:
        if node.op_type != "BatchNormalization" or node.domain:
            continue
        for i in range(1, len(node.inputs)):
            name = node.inputs[i]
            while name in aliases and name not in graph.constants:
                name = aliases[name].inputs[0]
            constant = graph.constants.get(name)
            if constant is None:
                continue
            own = name if name not in used else f"{node.outputs[0]}/{i}"
            if own != name:
                graph.constants[own] = Constant.of(constant.numpy().copy())
            used.add(own)
            node.inputs[i] = own
    return model


def learning_batch_norms(model: Model, wrt: Collection[str]) -> list[Node]:
    """List the BatchNormalization nodes whose scale or shift is learned.

    Parameters
    ----------
    model : trimtab.graph.Model
    wrt : collection of str
        What is learned.

    Returns
    -------
    nodes : list of Node

    Examples
    --------
    >>> from trimtab.graph import Graph
    >>> node = Node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"])
    >>> model = Model(Graph("g", nodes=[node]), {"": 18})
    >>> len(learning_batch_norms(model, ["s"])), len(learning_batch_norms(model, ["w"]))
    (1, 0)
    """
    return [
        node
        for node in model.graph.nodes
        if node.op_type == "BatchNormalization"
        and node.domain == ""
        and any(name in wrt for name in node.inputs[1:3])
    ]


def emit_batch_norms(emitter: Emitter, wrt: Collection[str]) -> dict[str, Tensor]:
    """Rewrite those nodes to use the mean and the variance of the batch.

    Parameters
    ----------
    emitter : Emitter
    wrt : collection of str

    Returns
    -------
    statistics : dict of str to Tensor
        Name of a running statistic -> what this batch says of it; the variance is that
        of the population the batch is a sample of (divided by n - 1), as in PyTorch.

    Examples
    --------
    >>> emit_batch_norms(emitter, ["scale"])               # doctest: +SKIP
    {'mean': <Tensor>, 'variance': <Tensor>}
    """
    model = emitter.model
    chosen = {id(node) for node in learning_batch_norms(model, wrt)}
    nodes, model.graph.nodes = model.graph.nodes, []
    found: dict[str, Tensor] = {}
    for node in nodes:
        if id(node) in chosen:
            _emit_one(emitter, node, found)
        else:
            model.graph.nodes.append(node)
    return found


def per_channel(e: Emitter, v: Tensor, x: Tensor) -> Tensor:
    """See one item per channel as a tensor that broadcasts over [N, C, ...].

    Parameters
    ----------
    e : Emitter
    v : Tensor
        Of shape (C,).
    x : Tensor
        Tells how many dims come behind the channels.

    Returns
    -------
    column : Tensor
        Of shape (C, 1, ..., 1).
    """
    behind = e.emit("Slice", e.shape(x), e.ints([2]), e.ints([2**31]))
    dims = e.emit("Concat", e.ints([-1]), e.emit("Div", behind, behind), axis=0)
    return e.emit("Reshape", v, dims)


def _emit_one(e: Emitter, node: Node, found: dict[str, Tensor]) -> None:
    x, scale, shift = (e.tensor(name) for name in node.inputs[:3])
    column = per_channel(e, scale, x)
    n = e.emit("Div", e.emit("Size", x), e.emit("Size", column))
    n = e.emit("CastLike", n, e.number(0.0))
    mean = e.sum_to(x, column) / n
    centred = x - mean
    squares = e.sum_to(centred * centred, column)
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    spread = e.emit("Sqrt", squares / n + epsilon)
    y = centred * (column / spread) + per_channel(e, shift, x)
    e.model.graph.nodes.append(Node("Identity", [y.name], [node.outputs[0]]))
    found[node.inputs[3]] = e.reshape_as(mean, scale)
    fewer = e.emit("Max", n - 1.0, e.number(1.0))
    found[node.inputs[4]] = e.reshape_as(squares / fewer, scale)
