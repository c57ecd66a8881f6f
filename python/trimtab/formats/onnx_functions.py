"""Functions that a model defines itself: calls are replaced by bodies.

The replacing is done by `onnx.inliner`. What it would produce is computed first, for
functions that call functions can double in size at each step, or never end.
"""

from __future__ import annotations

from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.limits import Limits

__all__ = ["inline_functions"]

_Key = tuple[str, str, str]


def _call(node: Any) -> _Key:
    return (node.domain or "ai.onnx", node.op_type, node.overload)


def _nodes(nodes: Any) -> list[Any]:
    """All nodes of a graph or function, those of bodies included."""
    found = list(nodes)
    for node in found:  # grows while it is walked
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.extend(attribute.g.node)
            for graph in attribute.graphs:
                found.extend(graph.node)
    return found


def _order(calls: dict[_Key, list[_Key]], limits: Limits) -> list[_Key]:
    """Functions in an order in which those that are called come first."""
    callers: dict[_Key, list[_Key]] = {key: [] for key in calls}
    waiting = {key: len(called) for key, called in calls.items()}
    for key, called in calls.items():
        for other in called:
            callers[other].append(key)
    depth = dict.fromkeys(calls, 1)
    ready = [key for key, n in waiting.items() if n == 0]
    for key in ready:  # grows while it is walked
        for caller in callers[key]:
            depth[caller] = max(depth[caller], depth[key] + 1)
            waiting[caller] -= 1
            if waiting[caller] == 0:
                ready.append(caller)
    if len(ready) < len(calls):
        stuck = sorted(name for (_, name, _), n in waiting.items() if n > 0)
        raise ModelFormatError(f"functions call each other in a cycle: {stuck[:10]}")
    if depth and max(depth.values()) > limits.max_depth:
        raise ModelLimitError(
            f"functions call functions {max(depth.values())} deep, max_depth is "
            f"{limits.max_depth}"
        )
    return ready


def inline_functions(proto: Any, limits: Limits) -> Any:
    """Replace each call of a function that the model defines by its body.

    Parameters
    ----------
    proto : onnx.ModelProto
    limits : Limits
        `max_nodes` and `max_model_bytes` bound the result.

    Returns
    -------
    proto : onnx.ModelProto
        The same object when nothing is called.

    Raises
    ------
    ModelFormatError
        Functions in a cycle, defined twice, or not fit to be inlined.
    ModelLimitError
        The result would be too large.

    Examples
    --------
    >>> inline_functions(onnx.load("model.onnx"), Limits())    # doctest: +SKIP
    """
    functions: dict[_Key, Any] = {}
    for function in proto.functions:
        key = (function.domain or "ai.onnx", function.name, function.overload)
        if key in functions:
            raise ModelFormatError(f"function {function.name!r} is defined twice")
        functions[key] = function
    main = _nodes(proto.graph.node)
    if not any(_call(node) in functions for node in main):
        return proto
    bodies = {key: _nodes(function.node) for key, function in functions.items()}
    calls = {
        key: [_call(node) for node in body if _call(node) in functions]
        for key, body in bodies.items()
    }
    size: dict[_Key, tuple[int, int]] = {}  # nodes and bytes when all is inlined

    def measure(nodes: list[Any]) -> tuple[int, int]:
        n_nodes = n_bytes = 0
        for node in nodes:
            more = size.get(_call(node), (1, 0))
            n_nodes += more[0]
            n_bytes += more[1] + node.ByteSize()
        return n_nodes, n_bytes

    for key in _order(calls, limits):
        size[key] = measure(bodies[key])
    n_nodes, n_bytes = measure(main)
    if n_nodes > limits.max_nodes or n_bytes > limits.max_model_bytes // 8:
        raise ModelLimitError(
            f"inlining the model's functions gives {n_nodes} nodes of {n_bytes} bytes, "
            f"max_nodes is {limits.max_nodes}, max_model_bytes // 8 is "
            f"{limits.max_model_bytes // 8}"
        )
    from onnx import inliner

    try:
        return inliner.inline_local_functions(proto)
    except Exception as error:  # what the C++ library throws has no common base
        raise ModelFormatError(f"functions cannot be inlined: {error}") from error
