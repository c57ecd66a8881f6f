"""A graph in memory as something to run: for looking inside while optimising."""

from __future__ import annotations

from trimtab.graph import Model as GraphModel
from trimtab.limits import Limits
from trimtab.model import Model
from trimtab.options import Options
from trimtab.source import Source

__all__ = ["runnable"]


def runnable(graph: GraphModel, *, threads: int | None = None) -> Model:
    """Hand a graph to the engine.

    Parameters
    ----------
    graph : trimtab.graph.Model
    threads : int, optional
        As many as the machine has by default.

    Returns
    -------
    model : trimtab.Model
        Without names, steps or golden pairs.

    Examples
    --------
    >>> from trimtab.graph import Graph, Node, Value
    >>> graph = Graph("g", [Value("x")], [Value("y")], [Node("Relu", ["x"], ["y"])])
    >>> with runnable(GraphModel(graph, {"": 23})) as model:
    ...     model([-1.0, 2.0])
    array([0., 2.])
    """
    from trimtab.load import make_model

    options = Options(
        threads=threads,
        device="cpu",
        fallback=True,
        limits=Limits(),
        passes=-1,
        copy=True,
        staging=False,
        verify="off",
        cache=False,
        reading={},
        is_rewritten=True,
    )
    return make_model(graph, Source(None, b""), options)
