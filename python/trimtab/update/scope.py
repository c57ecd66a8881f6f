"""Which weights an update learns: all, the last ones, or low-rank moves of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.errors import InputError
from trimtab.graph import Model
from trimtab.train.learnable import learnable
from trimtab.update.low_rank import LowRank, add_low_rank, matrices

__all__ = ["SCOPES", "Scope", "scope_of"]

# Weights up to which all of them are learned by default.
_FEW = 5_000_000
# Share of the layers that "last" learns, at least the last two.
_LAST = 0.25


@dataclass(frozen=True, eq=False)
class Scope:
    """What is learned.

    Parameters
    ----------
    name : str
        A key of `SCOPES`.
    graph : trimtab.graph.Model
        What is trained: the given one, or one with factors of low rank.
    names : list of str
        Its constants that are learned.
    low_rank : LowRank or None
    """

    name: str
    graph: Model
    names: list[str]
    low_rank: LowRank | None = None


def _weights(graph: Model) -> list[str]:
    """Weights in the order of their readers; normalisations keep theirs.

    A batch of an update is no sample of either domain, so its statistics must not
    become those of the model.
    """
    known = set(learnable(graph))
    fixed = {
        name
        for node in graph.graph.nodes
        if node.op_type == "BatchNormalization"
        for name in node.inputs[1:]
    }
    read = [name for node in graph.graph.nodes for name in node.inputs]
    found = [name for name in dict.fromkeys(read) if name in known - fixed]
    found += [n for n in graph.graph.constants if n in known - fixed - set(found)]
    if not found:
        raise InputError("the model has no float weights that could be learned")
    return found


def _all(graph: Model, rank: int, seed: int) -> Scope:
    return Scope("all", graph, _weights(graph))


def _last(graph: Model, rank: int, seed: int) -> Scope:
    names = _weights(graph)
    tensors = [n for n in names if len(graph.graph.constants[n].shape) > 1]
    n_kept = max(math.ceil(len(tensors) * _LAST), min(2, len(tensors)))
    first = names.index(tensors[-n_kept]) if tensors else 0
    return Scope("last", graph, names[first:])


def _low_rank(graph: Model, rank: int, seed: int) -> Scope:
    names = matrices(graph)
    if not names:
        raise InputError("low rank: the model has no matrices of MatMul or Gemm")
    made = add_low_rank(graph, names, rank=rank, seed=seed)
    return Scope("low_rank", made.graph, made.names, made)


SCOPES: dict[str, Callable[[Model, int, int], Scope]] = {
    "all": _all,
    "last": _last,
    "low_rank": _low_rank,
}
"""Name -> (graph, rank, seed) -> what is learned."""


def scope_of(
    graph: Model, name: str = "auto", *, rank: int = 8, seed: int = 0
) -> Scope:
    """Say which weights are learned.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    name : str, default="auto"
        A key of `SCOPES`. "auto": all weights of a small model; of a large one, moves
        of low rank where matrices hold most of it, else the last layers.
    rank : int, default=8
    seed : int

    Returns
    -------
    scope : Scope

    Raises
    ------
    InputError
        There is nothing to learn, or no such scope.

    Examples
    --------
    >>> from trimtab.graph import Constant, Graph, Node, Value
    >>> import numpy as np
    >>> node = Node("MatMul", ["x", "w"], ["y"])
    >>> w = Constant.of(np.ones((4, 3), np.float32))
    >>> graph = Graph("g", [Value("x")], [Value("y")], [node], {"w": w})
    >>> scope_of(Model(graph, {"": 18})).names
    ['w']
    """
    if name != "auto" and name not in SCOPES:
        raise InputError(f"scope must be auto, {', '.join(SCOPES)}, got {name!r}")
    return SCOPES[_chosen(graph) if name == "auto" else name](graph, rank, seed)


def _chosen(graph: Model) -> str:
    constants = graph.graph.constants
    sizes = {name: math.prod(constants[name].shape) for name in _weights(graph)}
    total = sum(sizes.values())
    if total <= _FEW:
        return "all"
    dense = sum(sizes.get(name, 0) for name in matrices(graph))
    return "low_rank" if 2 * dense > total else "last"
