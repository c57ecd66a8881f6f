"""Which nodes of a model take the time, of the calls that were timed step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["costly_nodes"]


def costly_nodes(nodes: Sequence[dict[str, Any]], n: int = 20) -> list[dict[str, Any]]:
    """Give the nodes that take most of the time.

    Parameters
    ----------
    nodes : sequence of dict
        Of `_core.Watcher.snapshot`: ``node``, ``op_type``, ``n``, ``sum_s``.
    n : int, default=20
        How many at most.

    Returns
    -------
    nodes : list of dict
        Each with ``mean_s`` and ``share`` of all nodes' time, the largest first.

    Examples
    --------
    >>> costly_nodes([{"node": "a", "op_type": "Conv", "n": 2, "sum_s": 0.5}])[0]
    {'node': 'a', 'op_type': 'Conv', 'n': 2, 'sum_s': 0.5, 'mean_s': 0.25, 'share': 1.0}
    """
    total = sum(node["sum_s"] for node in nodes) or 1.0
    ranked = sorted(nodes, key=lambda node: -node["sum_s"])[:n]
    return [
        {
            **node,
            "mean_s": node["sum_s"] / max(1, node["n"]),
            "share": node["sum_s"] / total,
        }
        for node in ranked
    ]
