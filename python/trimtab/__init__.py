"""Trimtab: a trained model through its whole life on one machine.

>>> import trimtab
>>> sorted(name for name in trimtab.__all__ if name.endswith("_model"))
['deploy_model', 'load_model', 'optimize_model']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trimtab.load import load_model  # with the engine's libraries: 11 ms
from trimtab.model import Model

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trimtab import steps
    from trimtab.deployment import Deployment, deploy_model
    from trimtab.errors import (
        CalibrationWarning,
        DeviceError,
        FetchError,
        GoldenMismatch,
        GoldenWarning,
        InputError,
        InputTypeError,
        InternalError,
        ModelFormatError,
        ModelLimitError,
        OutOfMemoryError,
        TrimtabError,
        UnsafeModelError,
        UnsupportedOpError,
    )
    from trimtab.limits import Limits
    from trimtab.optimize.optimize import optimize_model
    from trimtab.optimize.report import OptimizationReport
    from trimtab.peaks import Peaks, measure_peaks
    from trimtab.pipeline import Pipeline
    from trimtab.profile import Profile
    from trimtab.signature import TensorSpec
    from trimtab.stream import Stream

# Public name -> module that holds it: imported when it is used first. Only what every
# user needs is there from the start, so that loading a model does not pay for it.
_HOMES: dict[str, str] = {
    "CalibrationWarning": "errors",
    "Deployment": "deployment",
    "DeviceError": "errors",
    "FetchError": "errors",
    "GoldenMismatch": "errors",
    "GoldenWarning": "errors",
    "InputError": "errors",
    "InputTypeError": "errors",
    "InternalError": "errors",
    "Limits": "limits",
    "ModelFormatError": "errors",
    "ModelLimitError": "errors",
    "OptimizationReport": "optimize.report",
    "OutOfMemoryError": "errors",
    "Peaks": "peaks",
    "Pipeline": "pipeline",
    "Profile": "profile",
    "Stream": "stream",
    "TensorSpec": "signature",
    "TrimtabError": "errors",
    "UnsafeModelError": "errors",
    "UnsupportedOpError": "errors",
    "deploy_model": "deployment",
    "measure_peaks": "peaks",
    "optimize_model": "optimize.optimize",
    "steps": "steps",
}

__all__ = [
    "CalibrationWarning",
    "Deployment",
    "DeviceError",
    "FetchError",
    "GoldenMismatch",
    "GoldenWarning",
    "InputError",
    "InputTypeError",
    "InternalError",
    "Limits",
    "Model",
    "ModelFormatError",
    "ModelLimitError",
    "OptimizationReport",
    "OutOfMemoryError",
    "Peaks",
    "Pipeline",
    "Profile",
    "Stream",
    "TensorSpec",
    "TrimtabError",
    "UnsafeModelError",
    "UnsupportedOpError",
    "deploy_model",
    "load_model",
    "measure_peaks",
    "optimize_model",
    "steps",
]


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    module = importlib.import_module(f"trimtab.{_HOMES[name]}")
    value = module if name == _HOMES[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *__all__})
