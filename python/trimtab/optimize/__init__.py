"""Making a model faster, with proof that its answers stay.

Enters: a loaded model and data. Leaves: a model whose layers run in the precisions
that were measured to pay, and a report that says why.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "OptimizationReport",
    "TensorStatistics",
    "calibrate",
    "find_layers",
    "optimize_model",
    "prepare_graph",
    "quantize_graph",
    "to_bf16",
]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "OptimizationReport": "report",
    "TensorStatistics": "statistics",
    "calibrate": "calibrate",
    "find_layers": "layers",
    "optimize_model": "optimize",
    "prepare_graph": "prepare",
    "quantize_graph": "quantize",
    "to_bf16": "bf16",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.optimize' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.optimize.{_MODULES[name]}"), name)
