"""Gates: what must hold before a candidate takes the champion's place.

Enters: two models and labelled rows. Leaves: a `GateReport` that says passed, failed or
needs data, gate by gate, with the figures.
"""

from __future__ import annotations

from typing import Any

__all__ = ["GATES", "Evidence", "Gate", "GateReport", "Rows", "check_file", "prove"]

# Public name -> the module that holds it, imported when it is asked for.
_MODULES = {
    "GATES": "proof",
    "Evidence": "evidence",
    "Gate": "gate",
    "GateReport": "gate",
    "Rows": "rows",
    "check_file": "golden",
    "prove": "proof",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trimtab.gates' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.gates.{_MODULES[name]}"), name)
