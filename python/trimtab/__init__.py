"""Trimtab: a trained model through its whole life on one machine.

>>> import trimtab
>>> verbs = [name[:-6] for name in trimtab.__all__ if name.endswith("_model")]
>>> " ".join(verbs)
'deploy evaluate explain load maintain monitor optimize promote rollback update'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trimtab.load import load_model  # with the engine's libraries: 11 ms
from trimtab.model import Model

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trimtab import steps
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.deployment import Deployment
    from trimtab.deploy.response import Response
    from trimtab.deploy.start import deploy_model
    from trimtab.deploy.traffic import Traffic
    from trimtab.errors import (
        CalibrationWarning,
        DeadlineError,
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
        OverloadedError,
        RegistryConflict,
        RegistryError,
        SwapError,
        TrimtabError,
        UnsafeModelError,
        UnsupportedOpError,
    )
    from trimtab.evaluate.evaluate import evaluate_model
    from trimtab.evaluate.report import EvaluationReport
    from trimtab.explain.explain import explain_model
    from trimtab.explain.explanation import Explanation
    from trimtab.limits import Limits
    from trimtab.maintain.maintain import maintain_model
    from trimtab.maintain.policy import MaintenancePolicy
    from trimtab.maintain.report import MaintenanceReport
    from trimtab.monitor.monitor import Monitor
    from trimtab.monitor.reference import Reference
    from trimtab.monitor.report import MonitorReport
    from trimtab.monitor.start import monitor_model
    from trimtab.monitor.windows import Window
    from trimtab.optimize.optimize import optimize_model
    from trimtab.optimize.report import OptimizationReport
    from trimtab.peaks import Peaks, measure_peaks
    from trimtab.pipeline import Pipeline
    from trimtab.profile import Profile
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion
    from trimtab.rollout.direct import promote_model, rollback_model
    from trimtab.rollout.policy import Rollout
    from trimtab.rollout.result import RolloutResult
    from trimtab.signature import TensorSpec
    from trimtab.stream import Stream
    from trimtab.support import Support, describe_support
    from trimtab.update.result import UpdateResult
    from trimtab.update.update import update_model

# Public name -> module that holds it: imported when it is used first. Only what every
# user needs is there from the start, so that loading a model does not pay for it.
_HOMES: dict[str, str] = {
    "Arm": "deploy.arm",
    "CalibrationWarning": "errors",
    "DeadlineError": "errors",
    "Deployment": "deploy.deployment",
    "DeviceError": "errors",
    "EvaluationReport": "evaluate.report",
    "Explanation": "explain.explanation",
    "FetchError": "errors",
    "GoldenMismatch": "errors",
    "GoldenWarning": "errors",
    "InputError": "errors",
    "InputTypeError": "errors",
    "InternalError": "errors",
    "Limits": "limits",
    "MaintenancePolicy": "maintain.policy",
    "MaintenanceReport": "maintain.report",
    "ModelFormatError": "errors",
    "ModelLimitError": "errors",
    "ModelVersion": "registry.version",
    "Monitor": "monitor.monitor",
    "MonitorReport": "monitor.report",
    "OptimizationReport": "optimize.report",
    "OutOfMemoryError": "errors",
    "OverloadedError": "errors",
    "Peaks": "peaks",
    "Pipeline": "pipeline",
    "Profile": "profile",
    "Reference": "monitor.reference",
    "Registry": "registry.registry",
    "RegistryConflict": "errors",
    "RegistryError": "errors",
    "Response": "deploy.response",
    "Rollout": "rollout.policy",
    "RolloutResult": "rollout.result",
    "Stream": "stream",
    "Support": "support",
    "SwapError": "errors",
    "TensorSpec": "signature",
    "Traffic": "deploy.traffic",
    "TrimtabError": "errors",
    "UnsafeModelError": "errors",
    "UnsupportedOpError": "errors",
    "UpdateResult": "update.result",
    "Window": "monitor.windows",
    "deploy_model": "deploy.start",
    "describe_support": "support",
    "evaluate_model": "evaluate.evaluate",
    "explain_model": "explain.explain",
    "maintain_model": "maintain.maintain",
    "measure_peaks": "peaks",
    "monitor_model": "monitor.start",
    "optimize_model": "optimize.optimize",
    "promote_model": "rollout.direct",
    "rollback_model": "rollout.direct",
    "steps": "steps",
    "update_model": "update.update",
}

__all__ = [
    "Arm",
    "CalibrationWarning",
    "DeadlineError",
    "Deployment",
    "DeviceError",
    "EvaluationReport",
    "Explanation",
    "FetchError",
    "GoldenMismatch",
    "GoldenWarning",
    "InputError",
    "InputTypeError",
    "InternalError",
    "Limits",
    "MaintenancePolicy",
    "MaintenanceReport",
    "Model",
    "ModelFormatError",
    "ModelLimitError",
    "ModelVersion",
    "Monitor",
    "MonitorReport",
    "OptimizationReport",
    "OutOfMemoryError",
    "OverloadedError",
    "Peaks",
    "Pipeline",
    "Profile",
    "Reference",
    "Registry",
    "RegistryConflict",
    "RegistryError",
    "Response",
    "Rollout",
    "RolloutResult",
    "Stream",
    "Support",
    "SwapError",
    "TensorSpec",
    "Traffic",
    "TrimtabError",
    "UnsafeModelError",
    "UnsupportedOpError",
    "UpdateResult",
    "Window",
    "deploy_model",
    "describe_support",
    "evaluate_model",
    "explain_model",
    "load_model",
    "maintain_model",
    "measure_peaks",
    "monitor_model",
    "optimize_model",
    "promote_model",
    "rollback_model",
    "steps",
    "update_model",
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
