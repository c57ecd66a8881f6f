"""Has a window drifted from its reference? Detectors, checks, streams.

Enters: sketches of features in the bins of the reference. Leaves: a `DriftReport` with
effects and p-values; of a stream of numbers, a yes or no at each.
"""

from __future__ import annotations

from trimtab.monitor.drift.adwin import ADWIN
from trimtab.monitor.drift.detect import detect
from trimtab.monitor.drift.detector import Detector, DriftScore
from trimtab.monitor.drift.detectors import AUTO, DETECTORS
from trimtab.monitor.drift.page_hinkley import PageHinkley
from trimtab.monitor.drift.report import DriftReport, FeatureDrift

__all__ = [
    "ADWIN",
    "AUTO",
    "DETECTORS",
    "Detector",
    "DriftReport",
    "DriftScore",
    "FeatureDrift",
    "PageHinkley",
    "detect",
]
