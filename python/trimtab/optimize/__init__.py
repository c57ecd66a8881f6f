"""Making a model faster, with proof that its answers stay.

Enters: a loaded model and data. Leaves: a model whose layers run in the precisions
that were measured to pay, and a report that says why.
"""

from __future__ import annotations

from typing import Any

__all__ = ["OptimizationReport", "optimize_model"]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name == "optimize_model":
        from trimtab.optimize.optimize import optimize_model

        return optimize_model
    if name == "OptimizationReport":
        from trimtab.optimize.report import OptimizationReport

        return OptimizationReport
    raise AttributeError(f"module 'trimtab.optimize' has no attribute {name!r}")
from trimtab.optimize.statistics import TensorStatistics

__all__ = ["TensorStatistics"]
from trimtab.optimize.layers import find_layers
from trimtab.optimize.prepare import prepare_graph
from trimtab.optimize.quantize import quantize_graph

__all__ = ["find_layers", "prepare_graph", "quantize_graph"]
