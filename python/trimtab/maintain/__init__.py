"""The loop that keeps a model well: `maintain_model`, its policy, its log.

A `MaintenancePolicy` is rules (`Rule`: a trigger and an action) and limits. A look is
an `Observation`; what a rule does is an entry of the log.
"""

from __future__ import annotations

from trimtab.maintain.log import read_log
from trimtab.maintain.maintain import maintain_model
from trimtab.maintain.observation import Observation
from trimtab.maintain.policy import MaintenancePolicy, Rule
from trimtab.maintain.report import MaintenanceReport
from trimtab.maintain.trigger import (
    TRIGGERS,
    All,
    DataVolume,
    Drift,
    ErrorRate,
    Performance,
    Schedule,
)

__all__ = [
    "TRIGGERS",
    "All",
    "DataVolume",
    "Drift",
    "ErrorRate",
    "MaintenancePolicy",
    "MaintenanceReport",
    "Observation",
    "Performance",
    "Rule",
    "Schedule",
    "maintain_model",
    "read_log",
]
