"""LoRA: weights that may move by a matrix of low rank, merged when learning is over.

Enters: a graph and names of matrices. Leaves: the graph with ``W + B A`` in their
places, `B` zero and `A` random, so that it answers as before; and the graph with the
sums written back into `W`, so that serving costs what it did.

References
----------
Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Constant, Model, Node
from trimtab.types import Array

__all__ = ["LowRank", "add_low_rank", "matrices"]

# Operators that read a matrix, and where.
_READERS = {"Gemm": 1, "MatMul": 1}


@dataclass(frozen=True, eq=False)
class LowRank:
    """A graph whose matrices have room to move.

    Parameters
    ----------
    graph : trimtab.graph.Model
    factors : dict of str to tuple of str
        Name of a matrix -> its `B` and `A`.
    """

    graph: Model
    factors: dict[str, tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """What is learned."""
        return [name for pair in self.factors.values() for name in pair]

    def merged(self, original: Model, learned: Model) -> Model:
        """Write what was learned into the matrices of the original graph.

        Parameters
        ----------
        original : trimtab.graph.Model
            What the factors were added to; is not changed.
        learned : trimtab.graph.Model
            `graph` with factors that were learned.

        Returns
        -------
        merged : trimtab.graph.Model
        """
        made = original.copy()
        for name, (b, a) in self.factors.items():
            made.graph.constants[name] = Constant.of(
                _sum(learned.graph.constants, name, b, a)
            )
        return made


def _sum(constants: dict[str, Constant], name: str, b: str, a: str) -> Array:
    weight = constants[name].numpy()
    moved = constants[b].numpy() @ constants[a].numpy()
    return np.asarray(weight + moved, weight.dtype)


def matrices(graph: Model) -> list[str]:
    """List the constants of two dims that MatMul and Gemm nodes multiply with.

    Parameters
    ----------
    graph : trimtab.graph.Model

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> node = Node("MatMul", ["x", "w"], ["y"])
    >>> w = Constant.of(np.ones((4, 3), np.float32))
    >>> graph = Graph("g", [Value("x")], [Value("y")], [node], {"w": w})
    >>> matrices(Model(graph, {"": 18}))
    ['w']
    """
    constants = graph.graph.constants
    found = {
        node.inputs[_READERS[node.op_type]]: None
        for node in graph.graph.nodes
        if node.op_type in _READERS and not node.domain
    }
    return [
        name
        for name in found
        if name in constants
        and len(constants[name].shape) == 2
        and constants[name].dtype in ("float32", "float64")
    ]


def add_low_rank(
    graph: Model, names: Collection[str], *, rank: int = 8, seed: int = 0
) -> LowRank:
    """Let matrices move by products of low rank.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    names : collection of str
        Of `matrices`.
    rank : int, default=8
        At most; a smaller side of a matrix bounds it.
    seed : int

    Returns
    -------
    low_rank : LowRank
        Its graph answers as the given one does.

    Raises
    ------
    InputError
        A name is of no matrix, or the rank is below 1.

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> node = Node("MatMul", ["x", "w"], ["y"])
    >>> w = Constant.of(np.ones((4, 3), np.float32))
    >>> graph = Graph("g", [Value("x")], [Value("y")], [node], {"w": w})
    >>> low = add_low_rank(Model(graph, {"": 18}), ["w"], rank=2)
    >>> [low.graph.graph.constants[name].shape for name in low.names]
    [(4, 2), (2, 3)]
    """
    unknown = sorted(set(names).difference(matrices(graph)))
    if unknown or rank < 1:
        raise InputError(
            f"low rank: no matrices of MatMul or Gemm: {unknown}"
            if unknown
            else f"rank must be 1 or more, got {rank}"
        )
    made = graph.copy()
    rng = np.random.default_rng(seed)
    taken = set(made.graph.constants)
    for node in made.graph.nodes:
        taken.update(node.outputs)
    factors: dict[str, tuple[str, str]] = {}
    sums: list[Node] = []
    moved: dict[str, str] = {}
    for name in dict.fromkeys(names):
        b, a, product, total = (_fresh(f"{name}/{part}", taken) for part in _PARTS)
        weight = made.graph.constants[name].numpy()
        n_rows, n_columns = weight.shape
        r = min(rank, n_rows, n_columns)
        start = rng.normal(size=(r, n_columns)) / np.sqrt(r)
        scale = float(weight.std()) or 1.0
        made.graph.constants[b] = Constant.of(np.zeros((n_rows, r), weight.dtype))
        made.graph.constants[a] = Constant.of((start * scale).astype(weight.dtype))
        sums.append(Node("MatMul", [b, a], [product]))
        sums.append(Node("Add", [name, product], [total]))
        factors[name] = (b, a)
        moved[name] = total
    for node in made.graph.nodes:
        at = _READERS.get(node.op_type)
        if at is not None and not node.domain and node.inputs[at] in moved:
            node.inputs[at] = moved[node.inputs[at]]
    made.graph.nodes[:0] = sums
    return LowRank(made, factors)


_PARTS = ("low_rank_b", "low_rank_a", "low_rank_product", "low_rank_sum")


def _fresh(wanted: str, taken: set[str]) -> str:
    name, n = wanted, 0
    while name in taken:
        n += 1
        name = f"{wanted}_{n}"
    taken.add(name)
    return name
