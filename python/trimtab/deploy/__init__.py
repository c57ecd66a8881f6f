"""A model in service: versions that are swapped, tried beside each other, followed.

Enters: a model, or a registry and a name. Leaves: a callable, whose every answer comes
from one version as a whole.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Arm", "Deployment", "Response", "Swap", "Traffic", "deploy_model"]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "Arm": "arm",
    "Deployment": "deployment",
    "Response": "response",
    "Swap": "response",
    "Traffic": "traffic",
    "deploy_model": "start",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.deploy' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.deploy.{_MODULES[name]}"), name)
