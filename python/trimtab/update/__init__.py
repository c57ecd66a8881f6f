"""Learning from new labelled data: `update_model`.

Enters: a model that serves, and rows with labels. Leaves: a model that is proven not
to be worse, or the reasons why there is none.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "LEARNERS",
    "Candidate",
    "HeadStatistics",
    "LearnContext",
    "Learner",
    "Rows",
    "UpdateResult",
    "update_model",
]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "LEARNERS": "learners",
    "Candidate": "context",
    "HeadStatistics": "statistics",
    "LearnContext": "context",
    "Learner": "context",
    "Rows": "context",
    "UpdateResult": "result",
    "update_model": "update",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.update' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.update.{_MODULES[name]}"), name)
