"""What a model needs of the engine, from the structure of its file alone.

Enters: a source as `load_model` takes it. Leaves: `Support`, a table of its operators
and who runs each. Weights are not read, files beside the model are not opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.fallback import UnsupportedNode, find_unsupported, has_reference
from trimtab.formats import read_structure
from trimtab.limits import Limits
from trimtab.report import html_table, text_table

__all__ = ["RUNS", "OperatorUse", "Support", "describe_support"]

#: Who runs an operator -> what that means.
RUNS: dict[str, str] = {
    "nothing": "the model cannot be loaded",
    "Python (onnx.reference)": "slowly; load_model(fallback=False) refuses",
    "rewritten": "the file's operator is written with others when it is read",
    "engine": "the C core",
}
_HEADERS = ["operator", "domain", "opset", "nodes", "runs in", "why"]
_REWRITTEN = "written with other operators when the file is read"


@dataclass(frozen=True)
class OperatorUse:
    """How often a model uses an operator, and who runs it.

    Parameters
    ----------
    op_type, domain : str
        Of the operator; the domain of ai.onnx is empty.
    opset : int
        Version of the domain's operators in the model.
    n_nodes : int
        Bodies included.
    runs : str
        Key of `RUNS`.
    reason : str
        Why the engine does not run it as it is; empty where it does.
    """

    op_type: str
    domain: str
    opset: int
    n_nodes: int
    runs: str
    reason: str = ""


@dataclass(frozen=True)
class Support:
    """Operators of a model and whether the engine has them.

    Parameters
    ----------
    name : str
        Of the model.
    operators : tuple of OperatorUse
        What is refused first, then by number of nodes.

    Examples
    --------
    >>> support = Support("net", (OperatorUse("Relu", "", 17, 2, "engine"),))
    >>> support.is_complete
    True
    """

    name: str
    operators: tuple[OperatorUse, ...]

    @property
    def is_complete(self) -> bool:
        """Does the engine have all of them?"""
        return all(use.runs in ("engine", "rewritten") for use in self.operators)

    @property
    def is_loadable(self) -> bool:
        """Is there something for each of them, if only in Python?"""
        return all(use.runs != "nothing" for use in self.operators)

    def _rows(self) -> list[list[str | int]]:
        return [
            [
                use.op_type,
                use.domain or "ai.onnx",
                use.opset,
                use.n_nodes,
                use.runs,
                use.reason,
            ]
            for use in self.operators
        ]

    def __repr__(self) -> str:
        """Give the table."""
        return text_table(_HEADERS, self._rows())

    def _repr_html_(self) -> str:
        return html_table(_HEADERS, self._rows())

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            **asdict(self),
            "is_complete": self.is_complete,
            "is_loadable": self.is_loadable,
        }


def _missing(nodes: Sequence[UnsupportedNode]) -> dict[tuple[str, str], OperatorUse]:
    """Operators that the engine lacks, each with the reason of its first node."""
    counts = Counter((node.domain, node.op_type) for node in nodes)
    uses: dict[tuple[str, str], OperatorUse] = {}
    for node in nodes:
        key = (node.domain, node.op_type)
        if key not in uses:
            runs = "Python (onnx.reference)" if has_reference(node) else "nothing"
            uses[key] = OperatorUse(
                node.op_type, node.domain, node.opset, counts[key], runs, node.reason
            )
    return uses


def describe_support(source: Any, *, limits: Limits | None = None) -> Support:
    """Say which operators a model needs and who runs them.

    Of an ONNX file only the structure is read: no weights, and no files beside it.

    Parameters
    ----------
    source : path, bytes or object
        As for `load_model`.
    limits : Limits, optional
        Bounds on what the file may ask for.

    Returns
    -------
    support : Support

    Examples
    --------
    >>> import trimtab
    >>> trimtab.describe_support("model.onnx").is_complete  # doctest: +SKIP
    True
    """
    model, written = read_structure(source, limits)
    missing = _missing(find_unsupported(model))
    counts = Counter(
        (node.domain, node.op_type) for graph in model.graphs() for node in graph.nodes
    )
    uses = list(missing.values())
    for (domain, op_type), n_nodes in counts.items():
        if (domain, op_type) not in missing:
            opset = model.opsets.get(domain, 1)
            uses.append(OperatorUse(op_type, domain, opset, n_nodes, "engine"))
    for (domain, op_type), n_nodes in (written - counts).items():
        opset = model.opsets.get(domain, 1)
        uses.append(
            OperatorUse(op_type, domain, opset, n_nodes, "rewritten", _REWRITTEN)
        )
    order = list(RUNS)
    uses.sort(key=lambda use: (order.index(use.runs), -use.n_nodes, use.op_type))
    return Support(model.graph.name, tuple(uses))
