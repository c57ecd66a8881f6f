"""Operators that the engine lacks: finding them, and running them in Python.

`onnx.reference` has an implementation of nearly every operator in NumPy: slow, but
right. It is imported when a model needs it.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab import _core
from trimtab.errors import UnsupportedOpError
from trimtab.graph import DTYPES, Constant, Graph, Model, Node
from trimtab.report import html_table, text_table
from trimtab.types import Array

__all__ = [
    "Fallback",
    "FallbackWarning",
    "Support",
    "UnsupportedNode",
    "describe_support",
    "find_unsupported",
    "report_unsupported",
]

# Domain -> module whose load_op knows its operators.
_REFERENCES = {
    "": "onnx.reference.ops",
    "ai.onnx.ml": "onnx.reference.ops.aionnxml",
}
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
            found.append(
                UnsupportedNode(
                    node.name,
                    node.op_type,
                    node.domain,
                    opset,
                    dtype,
                    _reason(node, opset),
                )
            )
    return found


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
    missing = [node for node in nodes if not _has_reference(node)]
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


def _has_reference(node: UnsupportedNode) -> bool:
    """Does onnx.reference implement the operator?"""
    from onnx.reference.op_run import OpRun

    try:
        loader = importlib.import_module(_REFERENCES[node.domain])
        found = loader.load_op(node.domain, node.op_type, node.opset)
    except Exception:  # its own classes of errors differ between versions of onnx
        return False
    return isinstance(found, type) and issubclass(found, OpRun)


# ---- running -----------------------------------------------------------------------


def _tensor_proto(constant: Constant) -> Any:
    from onnx import TensorProto

    code, _ = DTYPES[constant.dtype]
    return TensorProto(
        dims=constant.shape, data_type=code, raw_data=constant.elements().tobytes()
    )


def _node_proto(node: Node) -> Any:
    from onnx import helper

    proto = helper.make_node(
        node.op_type, node.inputs, node.outputs, name=node.name, domain=node.domain
    )
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            raise UnsupportedOpError(
                f"{node.op_type} {node.name!r}: the fallback cannot run its body "
                f"{name!r}"
            )
        if isinstance(value, Constant):
            value = _tensor_proto(value)
        elif hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, list) and not value:
            continue
        proto.attribute.append(helper.make_attribute(name, value))
    return proto


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
        self._lock = threading.Lock()

    def _evaluator(self, graph: int, node: int) -> Any:
        """Evaluator of a model that holds this node alone; made once."""
        with self._lock:
            if (graph, node) not in self._evaluators:
                self._evaluators[graph, node] = self._make(graph, node)
            return self._evaluators[graph, node]

    def _make(self, graph: int, node: int) -> Any:
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        item = self._graphs[graph].nodes[node]
        inputs, outputs = (
            [helper.make_empty_tensor_value_info(n) for n in dict.fromkeys(names) if n]
            for names in (item.inputs, item.outputs)
        )
        graph_proto = helper.make_graph(
            [_node_proto(item)], item.name or "node", inputs, outputs
        )
        opsets = {"": 18, **self._model.opsets}
        proto = helper.make_model(
            graph_proto,
            opset_imports=[helper.make_opsetid(*pair) for pair in opsets.items()],
        )
        return ReferenceEvaluator(proto)

    def __call__(
        self, graph: int, node: int, arrays: list[Array | None]
    ) -> list[Array]:
        """Run one node; the engine's side of the contract is csrc/tt.h."""
        item = self._graphs[graph].nodes[node]
        feeds = {
            name: array
            for name, array in zip(item.inputs, arrays, strict=False)
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


# ---- telling -----------------------------------------------------------------------


@dataclass(frozen=True)
class OperatorUse:
    """How often a model uses an operator, and who runs it."""

    op_type: str
    domain: str
    opset: int
    n_nodes: int
    runs: str


@dataclass(frozen=True)
class Support:
    """Operators of a model and whether the engine has them.

    Parameters
    ----------
    name : str
        Of the model.
    operators : tuple of OperatorUse
        Missing ones first, then by number of nodes.
    """

    name: str
    operators: tuple[OperatorUse, ...]

    @property
    def is_complete(self) -> bool:
        """Does the engine have all of them?"""
        return all(use.runs == "engine" for use in self.operators)

    def _rows(self) -> list[list[str | int]]:
        return [
            [use.op_type, use.domain or "ai.onnx", use.opset, use.n_nodes, use.runs]
            for use in self.operators
        ]

    def __repr__(self) -> str:
        """Give the table."""
        headers = ["operator", "domain", "opset", "nodes", "runs in"]
        return text_table(headers, self._rows())

    def _repr_html_(self) -> str:
        return html_table(
            ["operator", "domain", "opset", "nodes", "runs in"], self._rows()
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "is_complete": self.is_complete}


def describe_support(source: Any) -> Support:
    """Say which operators a model needs and who runs them.

    Parameters
    ----------
    source : path or bytes
        As for `load_model`.

    Returns
    -------
    support : Support

    Examples
    --------
    >>> describe_support("model.onnx").is_complete         # doctest: +SKIP
    True
    """
    from trimtab.formats import read_model

    model = read_model(source)
    missing = {(n.domain, n.op_type): n for n in find_unsupported(model)}
    counts = Counter(
        (node.domain, node.op_type) for graph in model.graphs() for node in graph.nodes
    )
    uses = []
    for (domain, op_type), n_nodes in counts.items():
        node = missing.get((domain, op_type))
        runs = "engine"
        if node is not None:
            runs = "Python (onnx.reference)" if _has_reference(node) else "nothing"
        opset = model.opsets.get(domain, 1)
        uses.append(OperatorUse(op_type, domain, opset, n_nodes, runs))
    uses.sort(key=lambda use: (use.runs == "engine", -use.n_nodes, use.op_type))
    return Support(model.graph.name, tuple(uses))
