"""Operators that the engine lacks: finding them, and running them in Python.

`onnx.reference` has an implementation of nearly every operator in NumPy: slow, but
right. It is imported when a model needs it.
"""

from __future__ import annotations

import importlib
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trimtab import _core
from trimtab.errors import UnsupportedOpError
from trimtab.fallback_protos import captured_names, model_of_node
from trimtab.graph import Graph, Model, Node
from trimtab.texts import has_strings

__all__ = [
    "Fallback",
    "FallbackWarning",
    "UnsupportedNode",
    "find_unsupported",
    "has_reference",
    "report_unsupported",
]

# Domain -> module whose load_op knows its operators.
_REFERENCES = {
    "": "onnx.reference.ops",
    "ai.onnx.ml": "onnx.reference.ops.aionnxml",
}
_NO_STRINGS = "the engine moves strings, it does not compute with them"
# Nodes that a message shows at most; all are in the exception's `nodes`.
_N_SHOWN = 50


class FallbackWarning(UserWarning):
    """Some operators of a model run in Python, slowly."""


@dataclass(frozen=True)
class UnsupportedNode:
    """A node that the engine has no operator for.

    Parameters
    ----------
    name, op_type, domain : str
        Of the node.
    opset : int
        Version of the domain's operators in the model.
    dtype : str or None
        Element type of its first input, where the file declares it.
    reason : str
        What is missing.
    """

    name: str
    op_type: str
    domain: str
    opset: int
    dtype: str | None
    reason: str

    def __str__(self) -> str:
        """Give everything on one line."""
        operator = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        dtype = f", {self.dtype}" if self.dtype else ""
        return f"{operator} {self.name!r} (opset {self.opset}{dtype}): {self.reason}"


def _reason(node: Node, opset: int) -> str:
    """Why the engine's table has nothing for the node."""
    served = [
        f"{op['since']} to {op['until']}" if op["until"] else f"{op['since']} on"
        for op in _core.operators()
        if (op["domain"], op["name"]) == (node.domain, node.op_type)
    ]
    if served:
        return f"the engine has it for opsets {', '.join(served)}, not for {opset}"
    return "the engine has no such operator"


def _declared_dtypes(graph: Graph) -> dict[str, str | None]:
    dtypes: dict[str, str | None] = {v.name: v.dtype for v in graph.inputs}
    dtypes.update((v.name, v.dtype) for v in graph.outputs)
    dtypes.update((name, c.dtype) for name, c in graph.constants.items())
    return dtypes


def find_unsupported(model: Model) -> list[UnsupportedNode]:
    """All nodes, bodies included, that the engine has no operator for.

    Parameters
    ----------
    model : trimtab.graph.Model
        As read, not compiled.

    Returns
    -------
    nodes : list of UnsupportedNode
        Empty when the engine runs everything.

    Examples
    --------
    >>> from trimtab.graph import Value
    >>> node = Node("Nope", ["x"], ["y"], "n")
    >>> graph = Graph("g", [Value("x")], [Value("y")], [node])
    >>> print(*find_unsupported(Model(graph, {"": 18})))
    Nope 'n' (opset 18): the engine has no such operator
    """
    known: dict[tuple[str, str], bool] = {}
    found = []
    for graph in model.graphs():
        dtypes: dict[str, str | None] | None = None
        for node in graph.nodes:
            key = (node.domain, node.op_type)
            opset = model.opsets.get(node.domain, 1)
            if key not in known:
                known[key] = _core.has_operator(*key, opset)
            if known[key]:
                continue
            if dtypes is None:
                dtypes = _declared_dtypes(graph)
            dtype = dtypes.get(node.inputs[0]) if node.inputs else None
            found.append(_unsupported(node, opset, dtype, _reason(node, opset)))
    for _, node in _string_nodes(model):
        opset = model.opsets.get(node.domain, 1)
        if known[node.domain, node.op_type]:
            found.append(_unsupported(node, opset, "string", _NO_STRINGS))
    return found


def _unsupported(
    node: Node, opset: int, dtype: str | None, reason: str
) -> UnsupportedNode:
    return UnsupportedNode(node.name, node.op_type, node.domain, opset, dtype, reason)


def _string_nodes(model: Model) -> list[tuple[Graph, Node]]:
    """Nodes that compute with strings; most models have none."""
    if not has_strings(model):
        return []
    from trimtab.string_tensors import find_string_nodes

    return find_string_nodes(model)


def _listing(nodes: Sequence[UnsupportedNode]) -> str:
    lines = [f"  {node}" for node in nodes[:_N_SHOWN]]
    if len(nodes) > _N_SHOWN:
        lines.append(f"  and {len(nodes) - _N_SHOWN} more (see .nodes)")
    return "\n".join(lines)


def _refuse(nodes: Sequence[UnsupportedNode], advice: str) -> None:
    error = UnsupportedOpError(
        f"{len(nodes)} nodes cannot be run:\n{_listing(nodes)}\n{advice}"
    )
    error.code = "UNSUPPORTED"
    error.where = nodes[0].name
    error.nodes = tuple(nodes)
    raise error


def report_unsupported(nodes: Sequence[UnsupportedNode], *, use_fallback: bool) -> None:
    """Warn about nodes that run in Python, or refuse them.

    Parameters
    ----------
    nodes : sequence of UnsupportedNode
        At least one.
    use_fallback : bool
        Warn; False: raise.

    Raises
    ------
    UnsupportedOpError
        Lists all nodes; they are in its `nodes` too.

    Examples
    --------
    >>> node = UnsupportedNode("d", "Det", "", 22, None, "no such operator")
    >>> report_unsupported([node], use_fallback=False)     # doctest: +SKIP
    Traceback (most recent call last):
        ...
    trimtab.errors.UnsupportedOpError: ...
    """
    if not use_fallback:
        _refuse(nodes, "load_model(fallback=True) runs them in Python, slowly")
    missing = [node for node in nodes if not has_reference(node)]
    if missing:
        _refuse(missing, "onnx.reference does not have them either")
    names = [f"{node.op_type} {node.name!r}" for node in nodes[:_N_SHOWN]]
    more = f" and {len(nodes) - _N_SHOWN} more" if len(nodes) > _N_SHOWN else ""
    warnings.warn(
        f"{len(nodes)} nodes run in Python through onnx.reference, slowly: "
        f"{', '.join(names)}{more}",
        FallbackWarning,
        stacklevel=5,
    )


def has_reference(node: UnsupportedNode) -> bool:
    """Does onnx.reference implement the operator?

    Parameters
    ----------
    node : UnsupportedNode

    Returns
    -------
    has_reference : bool

    Examples
    --------
    >>> node = UnsupportedNode("d", "Nope", "", 22, None, "no such operator")
    >>> has_reference(node)
    False
    """
    from onnx.reference.op_run import OpRun

    try:
        loader = importlib.import_module(_REFERENCES[node.domain])
        found = loader.load_op(node.domain, node.op_type, node.opset)
    except Exception:  # its own classes of errors differ between versions of onnx
        return False
    return isinstance(found, type) and issubclass(found, OpRun)


# ---- running -----------------------------------------------------------------------


class Fallback:
    """Runs single nodes for the engine: a callable it is given at load.

    Parameters
    ----------
    model : graph.Model
        The nodes are found by the numbers of graph and node.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._graphs = model.graphs()
        self._evaluators: dict[tuple[int, int], Any] = {}
        self._seconds: dict[tuple[int, int], float] = {}
        self._lock = threading.Lock()

    def _evaluator(self, graph: int, node: int) -> Any:
        """Evaluator of a model that holds this node alone; made once."""
        with self._lock:
            if (graph, node) not in self._evaluators:
                self._evaluators[graph, node] = self._make(graph, node)
            return self._evaluators[graph, node]

    def _make(self, graph: int, node: int) -> Any:
        from onnx.reference import ReferenceEvaluator

        item = self._graphs[graph].nodes[node]
        return ReferenceEvaluator(model_of_node(item, {"": 18, **self._model.opsets}))

    def times(self) -> dict[tuple[str, str], float]:
        """Seconds that nodes have taken so far, by name and operator.

        Returns
        -------
        seconds : dict of (str, str) to float

        Examples
        --------
        >>> Fallback(Model(Graph("g"), {})).times()
        {}
        """
        with self._lock:
            seconds = dict(self._seconds)
        found: dict[tuple[str, str], float] = {}
        for (graph, node), time_s in seconds.items():
            item = self._graphs[graph].nodes[node]
            key = item.name, item.op_type
            found[key] = found.get(key, 0.0) + time_s
        return found

    def __call__(self, graph: int, node: int, arrays: list[Any]) -> list[Any]:
        """Run one node; the engine's side of the contract is csrc/tt.h."""
        begin = time.perf_counter()
        try:
            return self._run(graph, node, arrays)
        finally:
            took = time.perf_counter() - begin
            with self._lock:
                before = self._seconds.get((graph, node), 0.0)
                self._seconds[graph, node] = before + took

    def _run(self, graph: int, node: int, arrays: list[Any]) -> list[Any]:
        item = self._graphs[graph].nodes[node]
        names = [*item.inputs, *captured_names(item)]
        feeds = {
            name: array
            for name, array in zip(names, arrays, strict=False)
            if name and array is not None
        }
        try:
            results = self._evaluator(graph, node).run(None, feeds)
            by_name = dict(zip(filter(None, item.outputs), results, strict=True))
            empty = results[0][:0] if getattr(results[0], "ndim", 0) else results[0]
        except UnsupportedOpError:
            raise
        except Exception as error:
            raise UnsupportedOpError(
                f"{item.op_type} {item.name!r} failed in onnx.reference: {error}"
            ) from error
        return [by_name.get(name, empty) for name in item.outputs]
