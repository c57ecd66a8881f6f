"""A registry of models: a folder with versions and aliases; no server, no database.

Enters: artefacts of `Model.save`. Leaves: versions that never change, with where they
come from, and names for them that change in one instant.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Alias", "ModelVersion", "Registry", "fingerprint"]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "Alias": "alias",
    "ModelVersion": "version",
    "Registry": "registry",
    "fingerprint": "data",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.registry' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.registry.{_MODULES[name]}"), name)
