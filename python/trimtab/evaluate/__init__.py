"""How good a model is: figures with intervals, slices, comparison, cross-validation.

Enters: anything that answers, and labelled data. Leaves: an `EvaluationReport`.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "Comparison",
    "EvaluationReport",
    "FoldFigures",
    "SliceFigures",
    "SliceTest",
    "evaluate_model",
]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "Comparison": "compare",
    "EvaluationReport": "report",
    "FoldFigures": "folds",
    "SliceFigures": "slices",
    "SliceTest": "slices",
    "evaluate_model": "evaluate",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.evaluate' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.evaluate.{_MODULES[name]}"), name)
