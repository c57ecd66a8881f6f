"""A candidate is tried beside the champion, let in by steps, watched, and taken back.

Enters: a deployment that follows a registry, a version, labels as they come. Leaves:
the alias that names the version which serves, and a journal of why.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "Rollout",
    "RolloutHandle",
    "RolloutResult",
    "promote_model",
    "read_rollout",
    "resume",
    "rollback_model",
]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "Rollout": "policy",
    "RolloutHandle": "handle",
    "RolloutResult": "result",
    "promote_model": "direct",
    "read_rollout": "recovery",
    "resume": "recovery",
    "rollback_model": "direct",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.rollout' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.rollout.{_MODULES[name]}"), name)
